from bench import workload
from palimpsest.state.values import encode_value


def test_a_document_has_twenty_fields_and_about_a_kilobyte() -> None:
    value = workload.document_value(7)
    assert len(value) == 20
    assert 900 <= len(encode_value(value)) <= 1_100


def test_an_update_touches_a_field_that_is_there_and_changes_it() -> None:
    value = workload.document_value(0)
    for number in range(100_000, 100_100):
        assert workload.field_name(number) in value
        assert len(workload.field_text(number)) == 40
        assert workload.field_text(number) != workload.field_text(number + 1)
