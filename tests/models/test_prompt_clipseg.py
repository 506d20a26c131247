"""CLIPSeg through transformers: a small random one, saved to disk in the hub's own layout."""

import copy
import json
import sys

import numpy as np
import pytest
import torch

from faultline.errors import ConfigError, MissingExtraError
from faultline.models import count_parameters, create_model
from faultline.models.clipseg_base import FeatureMemo, base_identity, identity_of, load_base

transformers = pytest.importorskip("transformers")

SIZE = 64
WORDS = ("segment", "crack", "taping", "area", "the", "find", "wall", "joint", "tape", "drywall",
         "seam")  # fmt: skip


def write_clipseg(folder, seed=0):
    """A random CLIPSeg of the real architecture, small, in the layout of the hub."""
    torch.manual_seed(seed)
    config = transformers.CLIPSegConfig(
        text_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                     "num_attention_heads": 2, "max_position_embeddings": 24, "vocab_size": 600,
                     "bos_token_id": 598, "eos_token_id": 599, "pad_token_id": 599},
        vision_config={"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4,
                       "num_attention_heads": 4, "image_size": 64, "patch_size": 16},
        projection_dim=32, reduce_dim=16, extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2, decoder_intermediate_size=32,
    )  # fmt: skip
    transformers.CLIPSegForImageSegmentation(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder):
    """Files of a CLIP tokenizer whose words are letters, with the usual two special tokens."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        left = word[0]
        for at in range(1, len(word)):
            right = word[at] + ("</w>" if at == len(word) - 1 else "")
            if f"{left} {right}" not in merges:
                merges.append(f"{left} {right}")
            left += right
            if left not in tokens:
                tokens.append(left)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"] = 598, 599
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
               "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}  # fmt: skip
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": 24}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_clipseg(tmp_path_factory.mktemp("clipseg")))


def build(weights, **changes):
    torch.manual_seed(1)
    return create_model("clipseg", weights=weights, size=SIZE, dim=16, **changes)


PROMPTS = ["segment crack", "find the taping area"]


@pytest.mark.parametrize("decoder", ["product", "original", "multiscale"])
class TestEveryDecoder:
    @pytest.mark.parametrize("size", [(64, 64), (41, 70)])
    def test_gives_a_map_a_prompt_at_the_size_of_the_picture(self, weights, decoder, size):
        network = build(weights, decoder=decoder).eval()
        with torch.no_grad():
            assert network(torch.randn(2, 3, *size), [PROMPTS] * 2).shape == (2, 2, *size)

    def test_only_the_decoder_learns(self, weights, decoder):
        network = build(weights, decoder=decoder).train()
        before = identity_of(network.base)
        optimizer = torch.optim.SGD(network.parameter_groups(0.1))
        network(torch.randn(2, 3, 64, 64), [PROMPTS] * 2).square().mean().backward()
        assert any(p.grad is not None for p in network.decoder.parameters())
        assert all(p.grad is None for p in network.base.parameters())
        optimizer.step()
        assert identity_of(network.base) == before
        assert not network.base.training

    def test_the_bundle_holds_no_base(self, weights, decoder):
        network = build(weights, decoder=decoder)
        assert all(name.startswith("decoder.") for name in network.state_dict())
        assert count_parameters(network) == sum(p.numel() for p in network.decoder.parameters())

    def test_state_round_trip_gives_equal_output(self, weights, decoder):
        first, second = (build(weights, decoder=decoder).eval() for _ in range(2))
        with torch.no_grad():
            for parameter in first.decoder.parameters():
                parameter.add_(0.01)
        second.load_state_dict(first.state_dict())
        picture = torch.randn(1, 3, 48, 64)
        with torch.no_grad():
            assert torch.equal(first(picture, [PROMPTS]), second(picture, [PROMPTS]))

    def test_asking_beforehand_is_the_same(self, weights, decoder):
        network = build(weights, decoder=decoder).eval()
        pictures = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            given = network(pictures, [PROMPTS, PROMPTS])
            network.ask(PROMPTS)
            torch.testing.assert_close(network(pictures), given)

    def test_the_answer_to_a_prompt_does_not_depend_on_the_others(self, weights, decoder):
        network = build(weights, decoder=decoder).eval()
        picture = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            both = network(picture, [[PROMPTS[0], "joint tape on the wall"]])
            alone = network(picture, [PROMPTS[:1]])
        torch.testing.assert_close(both[:, :1], alone, atol=1e-5, rtol=1e-4)


def test_the_original_decoder_gives_what_transformers_gives(weights):
    network = build(weights, decoder="original").eval()
    model, tokenizer = load_base(weights)
    picture = torch.randn(2, 3, SIZE, SIZE)
    coded = tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(pixel_values=picture, interpolate_pos_encoding=True, **coded).logits
        ours = network(picture, [[prompt] for prompt in PROMPTS])
    torch.testing.assert_close(ours[:, 0], theirs, atol=1e-5, rtol=1e-4)


def test_the_documents_decoder_has_its_widths(weights):
    decoder = create_model("clipseg", weights=weights, size=SIZE).decoder
    shapes = [tuple(m.weight.shape[:2]) for m in decoder.up if hasattr(m, "weight")]
    assert shapes == [(64, 256), (256, 128), (128, 64), (1, 64)]
    assert decoder.fusion.vision.out_features == decoder.fusion.text.out_features == 64


@pytest.mark.parametrize("decoder", ["product", "multiscale"])
def test_attention_looks_at_the_words(weights, decoder):
    network = build(weights, decoder=decoder, attention=True)
    network(torch.randn(1, 3, 64, 64), [PROMPTS]).square().mean().backward()
    grads = {n: p.grad for n, p in network.decoder.named_parameters() if "attention" in n}
    assert grads
    assert all(grad is not None and grad.abs().sum() > 0 for n, grad in grads.items()
               if "key.bias" not in n)  # fmt: skip


class TestUnfrozen:
    def test_both_learn_at_their_own_rates(self, weights):
        network = build(weights, freeze=False, backbone_rate=0.1)
        assert [group["lr"] for group in network.parameter_groups(1e-3)] == [1e-3, 1e-4]
        network(torch.randn(1, 3, 64, 64), [PROMPTS]).square().mean().backward()
        layers = network.clip.vision_model
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in layers.parameters())

    def test_the_shared_base_is_not_touched(self, weights):
        before = base_identity(weights)
        network = build(weights, freeze=False)
        with torch.no_grad():
            next(network.clip.parameters()).add_(1)
        assert identity_of(load_base(weights)[0].clip) == before

    def test_its_state_holds_everything(self, weights):
        assert any(name.startswith("clip.") for name in build(weights, freeze=False).state_dict())


class TestIdentity:
    def test_another_base_is_refused(self, weights, tmp_path):
        mine = build(weights).identity()["base_hash"]
        build(weights, base_hash=mine)
        other = str(write_clipseg(tmp_path, seed=5))
        with pytest.raises(ConfigError, match="is not the CLIPSeg that these"):
            build(other, base_hash=mine)

    def test_a_copy_elsewhere_is_the_same(self, weights, tmp_path):
        import shutil

        copy_of = shutil.copytree(weights, tmp_path / "copy")
        assert base_identity(str(copy_of)) == base_identity(weights)


class TestLoading:
    def test_a_folder_that_holds_none(self, tmp_path):
        with pytest.raises(ConfigError) as caught:
            create_model("clipseg", weights=str(tmp_path))
        assert "holds no CLIPSeg" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_hub_that_cannot_be_reached(self, monkeypatch):
        def unreachable(*args, **kwargs):
            raise OSError("We couldn't connect to 'https://example.invalid' to load the files")

        monkeypatch.setattr(
            transformers.CLIPSegForImageSegmentation, "from_pretrained", unreachable
        )
        load_base.cache_clear()
        with pytest.raises(ConfigError) as caught:
            create_model("clipseg")
        message = str(caught.value)
        assert "model.weights=FOLDER" in message
        assert "--local-dir" in message
        assert "\n" not in message
        load_base.cache_clear()

    def test_without_transformers_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "transformers", None)
        load_base.cache_clear()
        with pytest.raises(MissingExtraError, match=r"pip install .\.\[prompt\]"):
            create_model("clipseg")
        load_base.cache_clear()

    @pytest.mark.parametrize(
        ("changes", "word"),
        [({"decoder": "unet"}, "decoder"), ({"size": 70}, "size"), ({"dim": 6}, "dim"),
         ({"num_classes": 3}, "num_classes"), ({"backbone_rate": 0}, "backbone_rate")],
    )  # fmt: skip
    def test_bad_settings_are_named(self, weights, changes, word):
        with pytest.raises(ConfigError, match=word):
            create_model("clipseg", **{"weights": weights, "size": SIZE, **changes})


class TestMemory:
    def test_gives_the_same_and_computes_once(self, weights):
        network = build(weights).eval()
        pictures = torch.randn(3, 3, 64, 64)
        with torch.no_grad():
            plain = network(pictures, [PROMPTS] * 3)
            network.remember(2**28)
            calls = []
            network.base.vision_model.register_forward_hook(lambda *_: calls.append(1))
            for _ in range(3):
                torch.testing.assert_close(network(pictures, [PROMPTS] * 3), plain)
        assert len(calls) == 1
        assert network.memo.hits == 6

    def test_what_was_seen_in_prediction_can_be_trained_on(self, weights):
        network = build(weights)
        network.remember(2**28)
        picture = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            network(picture, [PROMPTS])
        network(picture, [PROMPTS]).square().mean().backward()
        assert network.memo.hits == 1

    def test_stays_within_its_budget(self):
        memo = FeatureMemo(budget=4 * 10)
        pictures = torch.arange(12, dtype=torch.float32).view(3, 1, 2, 2)
        for _ in range(2):
            features = memo.look(pictures, lambda x: (x.flatten(1).repeat(1, 2)[:, :5],))
        assert features[0].shape == (3, 5)
        assert memo.hits == 2

    def test_an_unfrozen_base_is_never_remembered(self, weights):
        network = build(weights, freeze=False)
        network.remember(2**28)
        assert network.memo is None


def test_prompts_beyond_the_context_are_cut(weights):
    network = build(weights).eval()
    states = network.read(["crack " * 30])[1]
    assert states.shape[1] == 24


def test_moving_the_network_moves_its_base(weights):
    network = copy.deepcopy(build(weights)).double()
    assert next(network.base.parameters()).dtype == torch.float64
    load_base.cache_clear()


@pytest.mark.slow
def test_trains_and_infers_from_end_to_end(weights, prompt_words, prompt_data, tmp_path):
    from faultline.artifacts.bundle import load_bundle
    from faultline.data.images import read_image
    from faultline.predict.prompted import PromptPredictor
    from faultline.training.fit import train
    from faultline.training.kinds import training_config

    words = [w for w in prompt_words if not w.startswith("model.")]
    words += ["model.name=clipseg", f"model.weights={weights}", f"model.size={SIZE}",
              "model.dim=16", "trainer.max_epochs=2", f"output_dir={tmp_path}"]  # fmt: skip
    result = train(training_config(words), say=lambda line: None)
    bundle = load_bundle(result.run.path)
    assert bundle.model_settings["base_hash"] == base_identity(weights)
    assert (result.run.path / "checkpoints" / "best.safetensors").stat().st_size < 2_000_000
    picture = read_image(next((prompt_data / "walls" / "valid" / "images").iterdir()))
    answer = PromptPredictor(bundle, "cpu", "fp32").answer(picture, ["segment crack"])[0]
    assert answer.probability.shape == picture.shape[:2]
    assert np.isfinite(answer.probability).all()
