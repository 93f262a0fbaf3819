from keras import ops

from awd_keras import backend


def test_it_is_where_an_array_is():
    where = str(ops.ones(1).device).lower()
    assert (backend.device_name() == "cpu") == ("cpu" in where)
    assert backend.device_name()
