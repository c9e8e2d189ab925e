"""Stages, warm up and decay."""

import pytest

from anymask.training.nano.schedule import Amount, Schedule, Stage


def schedule(*stages, decay="20", warmup_steps=10):
    return Schedule(tuple(Stage.parse(stage) for stage in stages), Amount.parse(decay), warmup_steps)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("90s", Amount(90.0, True)),
        ("50m", Amount(3000.0, True)),
        ("1.5h", Amount(5400.0, True)),
        ("2000", Amount(2000.0, False)),
    ],
)
def test_amounts(text, amount):
    assert Amount.parse(text) == amount
    assert Amount.parse(str(amount)) == amount


@pytest.mark.parametrize("text", ["", "m", "-5", "-5m", "five", "1.5", "3d"])
def test_bad_amounts_are_named(text):
    with pytest.raises(ValueError, match=f"must read like .*got '{text}'"):
        Amount.parse(text)


@pytest.mark.parametrize("text", ["128", "x:50m", ":5"])
def test_bad_stages_are_named(text):
    with pytest.raises(ValueError, match=f"A stage must read like .*got '{text}'"):
        Stage.parse(text)


def test_times_and_steps_do_not_mix():
    with pytest.raises(ValueError, match="all be times or all be steps"):
        schedule("128:50m", decay="20")


def test_no_stage_is_an_error():
    with pytest.raises(ValueError, match="at least one stage"):
        schedule()


def test_stages_follow_each_other():
    run = schedule("128:60", "256:40")
    assert [run.stage_index(progress) for progress in (0, 59, 60, 99, 100)] == [0, 0, 1, 1, None]
    assert run.total == 100
    assert run.progress(step=7, seconds=3.0) == 7
    assert schedule("128:1m", decay="10s").progress(step=7, seconds=3.0) == 3.0


def test_learning_rate_warms_up_holds_and_decays():
    run = schedule("128:60", "256:40")
    factors = {step: run.learning_rate_factor(step, step) for step in (0, 4, 9, 50, 80, 90, 100)}
    assert factors == pytest.approx({0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0, 80: 1.0, 90: 0.5, 100: 0.0})


def test_finishing_early_decays_from_where_the_run_is():
    short = schedule("128:60", "256:40").finished_within(30, Amount(10, False))
    assert short.stages == (Stage(128, Amount(40, False)),)
    assert [short.learning_rate_factor(progress, 99) for progress in (30, 35, 40)] == pytest.approx([1.0, 0.5, 0.0])


def test_finishing_late_stretches_the_last_stage():
    longer = schedule("128:60", "256:40").finished_within(95, Amount(25, False))
    assert [stage.image_size for stage in longer.stages] == [128, 256]
    assert longer.total == 120
    assert longer.stage_index(110) == 1


def test_finishing_in_the_other_unit_is_an_error():
    with pytest.raises(ValueError, match="counts steps"):
        schedule("128:60").finished_within(10, Amount.parse("5m"))
