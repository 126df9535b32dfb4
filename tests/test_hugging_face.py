"""Hugging Face's side: the evaluation harness measures a mixture, and the page about it tells the truth."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from causal_lm import MixtureForCausalLM
from decoding.sampling import Sampling
from mixture import Mixture
from pcm.preference import Preference

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "hugging-face.md").read_text("utf-8")

TASKS = {
    "choice": """
output_type: multiple_choice
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
    "answer": """
output_type: generate_until
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["</s>"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
}
QUESTIONS = [
    {"question": "What is a volcano?", "choices": ["A mountain that opens.", "A friend"], "answer": 0},
    {"question": "Be warm?", "choices": ["keep it short", "thank you friend!"], "answer": 1},
]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The evaluation harness without a network, and with its data sets in a folder of the test's own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write_tasks(folder: Path) -> None:
    (folder / "questions.jsonl").write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'questions.jsonl'}}}}}\n"
    for name, text in TASKS.items():
        header = f'task: {name}\ntest_split: test\ndoc_to_text: "{{{{question}}}}"\n'
        (folder / f"{name}.yaml").write_text(header + data + text)


@torch.no_grad()
def score(face: MixtureForCausalLM, question: str, continuation: str) -> float:
    """The log-probability of a continuation, in nats."""
    given = len(face.mixture.tokenizer.encode(question))
    tokens = torch.tensor([face.mixture.tokenizer.encode(question + continuation)])
    logprobs = face(tokens).logits[:, given - 1 : -1]
    return logprobs.gather(-1, tokens[:, given:].unsqueeze(-1)).sum().item()


@pytest.mark.usefixtures("offline")
def test_the_evaluation_harness_measures_the_mixture(mixture: Mixture, tmp_path: Path) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    write_tasks(tmp_path)
    face = MixtureForCausalLM(mixture, Preference(weights={"friendly": -0.5, "concise": 1.0}))
    measured = lm_eval.simple_evaluate(
        model=HFLM(pretrained=face, tokenizer=mixture.tokenizer, batch_size=3),
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    right = 0
    for number, asked in enumerate(QUESTIONS):
        scores = [score(face, asked["question"], f" {choice}") for choice in asked["choices"]]
        said = [answer[0] for answer in measured["samples"]["choice"][number]["filtered_resps"]]
        assert said == pytest.approx(scores, abs=1e-4)
        right += scores.index(max(scores)) == asked["answer"]
        prompt = torch.tensor([mixture.tokenizer.encode(asked["question"])])
        tokens = face.generate(prompt, do_sample=False, max_new_tokens=6)[0, prompt.shape[1] :]
        text = mixture.tokenizer.decode(tokens, skip_special_tokens=True)
        assert measured["samples"]["answer"][number]["filtered_resps"] == [text]
    assert measured["results"]["choice"]["acc,none"] == right / 2


def blocks(title: str) -> str:
    """The Python of one section of the page."""
    (section,) = [part for part in PAGE.split("\n## ") if part.startswith(title)]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What is defined after the page's first example, in a folder with the bundle and the page's own files."""
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    monkeypatch.chdir(tmp_path)
    for path, text in re.findall(r"`(tasks/\S+)`:\n\n```\w+\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)
    names: dict[str, Any] = {}
    exec(blocks("# A mixture"), names)
    return names


def test_the_pages_example_of_a_base_with_adapters_works(
    page: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(blocks("Any base"), page)
    assert capsys.readouterr().out.strip()
    assert page["own"].names == Mixture.load("build/own").names == ["friendly", "concise"]


def test_the_pages_example_of_generating_works(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("Generate"), page)
    streamed, beams = capsys.readouterr().out.strip().rsplit("\n", 1)
    own = page["mixture"].generate(
        [[{"role": "user", "content": "What is a volcano?"}]],
        [Preference(weights={"friendly": 1.0, "concise": 0.5})],
        Sampling(0.0, max_new_tokens=32),
        [0],
    )
    assert streamed.strip() == own[0].text.strip()
    assert len(ast.literal_eval(beams)) == 2


def test_the_pages_example_of_scoring_prefers_what_was_asked_for(
    page: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(blocks("Score"), page)
    friendly, rude = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines())
    assert friendly < rude


@pytest.mark.usefixtures("offline")
def test_the_pages_example_of_evaluating_works(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("Evaluate"), page)
    assert float(capsys.readouterr().out.splitlines()[-1]) in (0.0, 0.5, 1.0)
