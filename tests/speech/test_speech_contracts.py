"""What recognisers are given: written down from the code, and checked at their door."""

import re

import pytest
import torch
from contract_pages import RENEW, part_of_page

from faultline.contracts import checks
from faultline.errors import ContractError
from faultline.evaluation.contract_page import PARTS as OF_PICTURES
from faultline.evaluation.contract_page import fields_of, new_page, renewed
from faultline.speech.contract_page import PARTS, RECORDS
from faultline.speech.paraformer import RECOGNISERS, create_recogniser

NAMES = [entry.name for entry in RECOGNISERS]


@pytest.mark.parametrize("name", PARTS)
def test_the_page_is_current(name):
    assert part_of_page(name) == PARTS[name](), RENEW


def test_every_recogniser_and_every_record_is_there():
    assert re.findall(r"^### (.+)$", PARTS["recognisers"](), re.MULTILINE) == NAMES
    assert all(fields_of(record) for record in RECORDS)


def test_parts_have_names_of_their_own():
    assert not set(PARTS) & set(OF_PICTURES)
    page = renewed(new_page(PARTS), PARTS)
    assert "`faultline.speech.data.samples.SpeechBatch`" in page
    assert "| `predictor` | (150, 128) and (150,) | (150,) |" in page


def network(name):
    return create_recogniser(name, vocabulary=9, mels=6, dim=16, heads=2, encoder_depth=1).eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("features", "lengths", "said"),
    [
        (torch.zeros(2, 20, 7), torch.tensor([20, 3]), r"features .*\(2, 20, 7\).* with M=6"),
        (torch.zeros(20, 6), torch.tensor([20]), r"features of recogniser .*\(20, 6\)"),
        (torch.zeros(2, 20, 6).long(), torch.tensor([20, 3]), "type int64, expected float"),
        (torch.zeros(2, 20, 6), torch.tensor([20, 3, 3]), r"lengths .*shape \(3,\).* with B=2"),
        (torch.zeros(2, 20, 6), torch.tensor([20.0, 3.0]), "type float32, expected integer"),
        (torch.zeros(2, 20, 6), torch.tensor([21, 3]), "from 3 to 21, expected 1 to 20"),
        (torch.zeros(2, 20, 6), torch.tensor([20, 0]), "from 0 to 20, expected 1 to 20"),
    ],
)
def test_what_is_no_clip_is_refused(name, features, lengths, said):
    tokens = torch.tensor([[5], [6]]), torch.tensor([1, 1])
    asked = network(name)
    for call in (asked, asked.recognise, lambda *given: asked.outputs(*given, *tokens)):
        with pytest.raises(ContractError, match=said):
            call(features, lengths)


@pytest.mark.parametrize("name", NAMES)
def test_the_checks_can_be_switched_off(name):
    with checks("off"), torch.inference_mode():
        network(name)(torch.zeros(1, 20, 6), torch.tensor([25]))
