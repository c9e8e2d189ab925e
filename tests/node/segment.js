// Segments prompts in one image with transformers.js alone, offline, and writes what it found.
//
//     node segment.js REQUEST.json
//
// The request: models (folder of models), name, dtype, image, output, and prompts, each with points and labels as
// transformers.js takes them: [[[x, y], ...]] and [[label, ...]], one list for each object. Written to `output`:
// for each prompt the inputs of the model, its logits, the scores and the masks; arrays as bytes in base64.

import { readFile, writeFile } from "node:fs/promises";
import { AutoProcessor, RawImage, SamModel, env } from "@huggingface/transformers";

const request = JSON.parse(await readFile(process.argv[2], "utf8"));
env.allowRemoteModels = false;
env.localModelPath = request.models;
globalThis.fetch = (address) => {
  throw new Error(`Nothing may be fetched, asked for ${address}.`);
};

const model = await SamModel.from_pretrained(request.name, { dtype: request.dtype });
const processor = await AutoProcessor.from_pretrained(request.name);
const image = await RawImage.read(request.image);

const packed = ({ data, dims }) => ({
  shape: dims,
  bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
});

const answers = [];
for (const { points, labels } of request.prompts) {
  const inputs = await processor(image, { input_points: [points], input_labels: [labels] });
  const { pred_masks, iou_scores } = await model(inputs);
  const [masks] = await processor.post_process_masks(pred_masks, inputs.original_sizes, inputs.reshaped_input_sizes);
  answers.push({
    pixel_values: packed(inputs.pixel_values),
    input_points: packed(inputs.input_points),
    reshaped_input_sizes: inputs.reshaped_input_sizes,
    iou_scores: packed(iou_scores),
    pred_masks: packed(pred_masks),
    masks: packed(masks),
  });
}
await writeFile(request.output, JSON.stringify(answers));
