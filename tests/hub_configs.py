"""`config.json` of SAM checkpoints on the hub, as they are stored there since 2023: what transformers 4 wrote."""

import copy

# Every part carries the fields that transformers 4 gave any configuration, most of them for text generation.
LEGACY = {
    "_name_or_path": "",
    "add_cross_attention": False,
    "architectures": None,
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "bos_token_id": None,
    "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None,
    "decoder_start_token_id": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "finetuning_task": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False,
    "is_encoder_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "model_type": "",
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "pad_token_id": None,
    "prefix": None,
    "problem_type": None,
    "pruned_heads": {},
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict": True,
    "return_dict_in_generate": False,
    "sep_token_id": None,
    "suppress_tokens": None,
    "task_specific_params": None,
    "temperature": 1.0,
    "tf_legacy_loss": False,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "top_k": 50,
    "top_p": 1.0,
    "torch_dtype": None,
    "torchscript": False,
    "transformers_version": "4.29.0.dev0",
    "typical_p": 1.0,
    "use_bfloat16": False,
}

VISION_BASE = {
    "attention_dropout": 0.0,
    "dropout": 0.0,
    "global_attn_indexes": [2, 5, 8, 11],
    "hidden_act": "gelu",
    "hidden_size": 768,
    "image_size": 1024,
    "initializer_factor": 1.0,
    "initializer_range": 1e-10,
    "intermediate_size": 6144,
    "layer_norm_eps": 1e-06,
    "mlp_dim": 3072,
    "mlp_ratio": 4.0,
    "num_attention_heads": 12,
    "num_channels": 3,
    "num_hidden_layers": 12,
    "num_pos_feats": 128,
    "output_channels": 256,
    "patch_size": 16,
    "projection_dim": 512,
    "qkv_bias": True,
    "use_abs_pos": True,
    "use_rel_pos": True,
    "window_size": 14,
}

PROMPT_ENCODER = {
    "hidden_act": "gelu",
    "hidden_size": 256,
    "image_embedding_size": 64,
    "image_size": 1024,
    "layer_norm_eps": 1e-06,
    "mask_input_channels": 16,
    "num_point_embeddings": 4,
    "patch_size": 16,
}

MASK_DECODER = {
    "attention_downsample_rate": 2,
    "hidden_act": "relu",
    "hidden_size": 256,
    "iou_head_depth": 3,
    "iou_head_hidden_dim": 256,
    "layer_norm_eps": 1e-06,
    "mlp_dim": 2048,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "num_multimask_outputs": 3,
}


def _whole(vision: dict, legacy: dict, **fields) -> dict:
    whole = {
        "architectures": ["SamModel"],
        "initializer_range": 0.02,
        "mask_decoder_config": {**legacy, **MASK_DECODER},
        "model_type": "sam",
        "prompt_encoder_config": {**legacy, **PROMPT_ENCODER},
        "torch_dtype": "float32",
        "transformers_version": None,
        "vision_config": {**legacy, **VISION_BASE, **vision},
        **fields,
    }
    return copy.deepcopy(whole)


HUB_CONFIGS = {
    "facebook/sam-vit-base": _whole({}, LEGACY),
    "facebook/sam-vit-large": _whole(
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "global_attn_indexes": [5, 11, 17, 23],
            "mlp_dim": 4096,
        },
        LEGACY,
    ),
    "facebook/sam-vit-huge": _whole(
        {
            "hidden_size": 1280,
            "num_hidden_layers": 32,
            "num_attention_heads": 16,
            "global_attn_indexes": [7, 15, 23, 31],
            "mlp_dim": 5120,
        },
        LEGACY,
        _commit_hash=None,
    ),
    "wanglab/medsam-vit-base": _whole({}, LEGACY, _name_or_path="medsam-vit-base", transformers_version="4.30.0.dev0"),
    # Later files of transformers 4 leave out what is default, and name the kinds of the parts.
    "Zigeng/SlimSAM-uniform-50": _whole(
        {"hidden_size": 384, "mlp_dim": 1536, "scale": 384, "model_type": "sam_vision_model"},
        {},
        _name_or_path="Zigeng/SlimSAM-uniform-50",
        transformers_version="4.37.0.dev0",
    ),
    "Zigeng/SlimSAM-uniform-77": _whole(
        {"hidden_size": 168, "mlp_dim": 696, "scale": 384, "model_type": "sam_vision_model"}, {}
    ),
}
