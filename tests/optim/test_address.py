"""Where hyperparameters live and which values they may take."""

import math
import sys

import pytest
import torch
from torch import nn

from pamiq_sched.optim import extend_optimizer, get_param_groups_regrouped_by_key, register_domain
from pamiq_sched.optim.address import Address, Domain, domain_of


def make_group(**values):
    return {"params": [], **values}


@pytest.mark.parametrize(
    ("text", "key", "index"), [("lr", "lr", None), ("betas[0]", "betas", 0), ("my clip[12]", "my clip", 12)]
)
def test_an_address_is_a_key_or_an_element_of_a_tuple(text, key, index):
    assert Address.parse(text) == Address(key, index)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "params", "betas[]", "betas[-1]", "betas[0][1]", "betas[x]", "[0]"])
def test_what_is_no_address_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="betas\\[0\\]") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [None, 3, ("betas", 0)])
def test_an_address_that_is_no_string_is_a_type_error(text):
    with pytest.raises(TypeError, match="must be a string"):
        Address.parse(text)


def test_a_number_is_replaced_and_a_tensor_is_filled_in_place():
    tensor = torch.tensor(0.5)
    group = make_group(lr=0.1, weight_decay=tensor)
    Address.parse("lr").write(group, 0.2)
    Address.parse("weight_decay").write(group, 0.25)
    assert group["lr"] == 0.2
    assert group["weight_decay"] is tensor
    assert tensor.item() == 0.25


def test_an_element_of_a_tuple_leaves_the_others_and_the_type_alone():
    for betas in ((0.9, 0.99), [0.9, 0.99]):
        group = make_group(betas=betas)
        Address.parse("betas[1]").write(group, 0.5)
        assert group["betas"] == type(betas)((0.9, 0.5))


def test_a_tensor_inside_a_tuple_is_filled_in_place():
    tensor = torch.tensor(0.5)
    group = make_group(betas=(tensor, 0.99))
    Address.parse("betas[0]").write(group, 0.25)
    assert group["betas"][0] is tensor
    assert tensor.item() == 0.25


def test_a_missing_key_is_told_with_those_that_there_are_and_the_remedy():
    with pytest.raises(KeyError, match=r"no 'clip'.*\['lr'\].*default_value"):
        Address.parse("clip").get(make_group(lr=0.1))


def test_a_tuple_without_an_index_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"'betas\[0\]'"):
        Address.parse("betas").get(make_group(betas=(0.9, 0.99)))


def test_an_index_without_a_tuple_or_beyond_its_end_is_refused():
    with pytest.raises(TypeError, match="schedule 'lr' itself"):
        Address.parse("lr[0]").get(make_group(lr=0.1))
    with pytest.raises(ValueError, match="holds 2 values"):
        Address.parse("betas[2]").get(make_group(betas=(0.9, 0.99)))


@pytest.mark.parametrize("value", [True, "0.1", 1j, None, torch.tensor([0.1, 0.2]), torch.tensor(1)])
def test_only_real_numbers_can_be_scheduled(value):
    with pytest.raises(TypeError):
        Address.parse("x").read(make_group(x=value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_a_value_that_is_not_finite_cannot_be_a_base(value):
    with pytest.raises(ValueError, match="finite"):
        Address.parse("x").read(make_group(x=value))


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("lr", [0.0, 1e9], [-1e-9, math.inf, math.nan]),
        ("weight_decay", [0.0], [-0.1]),
        ("betas[0]", [0.0, 0.999], [1.0, -0.1]),
        ("momentum", [0.0, 1.5], [-0.1]),
        ("eps", [0.0], [-1e-12]),
        ("anything else", [-sys.float_info.max, sys.float_info.max], [math.inf, -math.inf, math.nan]),
    ],
)
def test_torch_s_own_hyperparameters_have_domains(key, inside, outside):
    domain = domain_of(Address.parse(key))
    assert all(value in domain for value in inside)
    assert not any(value in domain for value in outside)


def test_a_domain_of_one_s_own_goes_by_key_and_by_element(monkeypatch):
    monkeypatch.setattr("pamiq_sched.optim.address._DOMAINS", {})
    register_domain("range", least=0.0, most=1.0)
    register_domain("range[1]", above=0.0, below=2.0)
    assert domain_of(Address.parse("range[0]")) == Domain(
        0.0, 1.0, "a finite real number of at least 0.0 and of at most 1.0"
    )
    assert 0.0 not in domain_of(Address.parse("range[1]"))
    assert 1.999 in domain_of(Address.parse("range[1]"))


@pytest.mark.parametrize(
    "bounds",
    [
        {"least": 1, "above": 1},
        {"most": 1, "below": 1},
        {"least": 2, "most": 1},
        {"above": 1, "below": 1},
        {"least": math.nan},
    ],
)
def test_bounds_that_allow_nothing_or_say_two_things_are_refused(bounds):
    with pytest.raises(ValueError, match="'x'"):
        register_domain("x", **bounds)


def test_extending_gives_every_group_the_key_and_keeps_what_is_there():
    parameters = [
        {"params": [nn.Parameter(torch.zeros(1))]},
        {"params": [nn.Parameter(torch.zeros(1))], "clip": 3.0},
    ]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    assert extend_optimizer(optimizer, "clip", 10) is optimizer
    assert [group["clip"] for group in optimizer.param_groups] == [10.0, 3.0]
    extend_optimizer(optimizer, "clip", 5.0, overwrite_values=True)
    assert [group["clip"] for group in optimizer.param_groups] == [5.0, 5.0]


def test_a_group_that_is_added_later_gets_the_extension_as_well():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    extend_optimizer(optimizer, "clip", 10.0)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    assert optimizer.param_groups[1]["clip"] == 10.0


@pytest.mark.parametrize("value", [True, "1", 1j, None, [1.0]])
def test_extending_by_something_that_is_no_number_is_a_type_error_and_changes_nothing(value):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(TypeError, match="'clip'"):
        extend_optimizer(optimizer, "clip", value)
    assert "clip" not in optimizer.param_groups[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_extending_by_a_number_that_is_not_finite_is_a_type_error_too(value):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(TypeError, match="finite"):
        extend_optimizer(optimizer, "clip", value)


def test_regrouping_returns_a_row_for_each_group_that_has_the_key():
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": [first], "clip": 2.0}, {"params": [second]}], lr=0.1)
    ((value, params, group),) = get_param_groups_regrouped_by_key(optimizer, "clip")
    assert value == 2.0
    assert params[0] is first
    assert group is optimizer.param_groups[0]
    assert [row[0] for row in get_param_groups_regrouped_by_key(optimizer, "betas[1]")] == [0.999, 0.999]
    assert get_param_groups_regrouped_by_key(optimizer, "nothing") == []
