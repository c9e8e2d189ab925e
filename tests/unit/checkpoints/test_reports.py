from anymask.checkpoints.reports import group_keys, key_problems


def test_keys_that_differ_in_numbers_are_one_group():
    names = ["a.0.weight", "a.11.weight", "a.0.bias", "b2.c"]
    assert group_keys(names) == "a.*.weight (2 keys), a.0.bias, b2.c"


def test_what_stands_alone_keeps_its_number():
    assert group_keys(["a.3.weight"]) == "a.3.weight"


def test_too_many_groups_become_parts():
    names = ["encoder.x", *(f"decoder.{letter}.{index}.w" for letter in "abcdefghi" for index in range(2))]
    assert group_keys(names) == "encoder.x, decoder.* (18 keys)"


def test_too_many_parts_are_counted():
    assert group_keys([f"name{index}" for index in range(11)]).endswith("name7 and 3 more")


def test_problems_by_kind():
    assert key_problems([], [], {}) == ""
    assert key_problems(["a"], ["b.0.c", "b.1.c"], {"d": ((3, 2), (2, 3))}) == (
        "1 missing: a; 2 unexpected: b.*.c (2 keys); 1 misshapen: d (3, 2) for (2, 3)"
    )
