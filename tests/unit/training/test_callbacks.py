"""What a run shows while an epoch lasts."""

import io

from transformers import TrainerControl, TrainerState, TrainingArguments

from anymask.training.callbacks import ShowProgress, WriteLog


class Terminal(io.StringIO):
    def isatty(self):
        return True


def play(file, steps, epoch, global_step, tmp_path):
    """An epoch of a run of 3 epochs with 4 steps each, from a step on."""
    arguments = TrainingArguments(str(tmp_path), num_train_epochs=3, use_cpu=True)
    state = TrainerState(max_steps=12, epoch=epoch, global_step=global_step)
    show = ShowProgress(file)
    show.on_epoch_begin(arguments, state, TrainerControl())
    show._bar.mininterval = 0
    for _ in range(steps):
        show.on_step_end(arguments, state, TrainerControl())
    show.on_epoch_end(arguments, state, TrainerControl())
    return file.getvalue()


def test_a_bar_of_the_epoch_with_the_time_left(tmp_path):
    shown = play(Terminal(), 2, 1.5, 6, tmp_path)  # goes on in the midst of the second
    assert "epoch 2 of 3" in shown and "2/4 [" in shown and "4/4 [" in shown and "<" in shown
    assert shown.split("\r")[-1] == "" and shown.split("\r")[-2].strip() == ""  # cleared in the end


def test_a_file_gets_nothing(tmp_path):
    assert play(io.StringIO(), 4, 0, 0, tmp_path) == ""


def test_a_log_goes_on_behind_its_last_whole_line(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 2, "loss": 1.5}\n{"step": 4, "loss": 1.25}\n{"step": 6, "lo')
    arguments = TrainingArguments(str(tmp_path), num_train_epochs=3, use_cpu=True)
    write, state = WriteLog(log, print), TrainerState(max_steps=12, global_step=2)
    write.on_train_begin(arguments, state, TrainerControl())
    write.on_log(arguments, TrainerState(global_step=4), TrainerControl(), {"loss": 1.0})
    assert log.read_text() == '{"step": 2, "loss": 1.5}\n{"step": 4, "loss": 1.0}\n'
