from pathlib import Path

import pytest
from fake_endpoint import running_endpoint
from tiny_bundle import tiny_base, tiny_tokenizer

from pcm.chat import ChatModel, LocalModel, chat_model


def test_an_endpoint_is_asked_under_its_name_and_with_its_key(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    with running_endpoint() as endpoint:
        endpoint.says = str.upper
        model = chat_model(endpoint.url, "some-model", "SOME_KEY")
        assert model.reply("be kind") == "BE KIND"
    assert (endpoint.bodies[0]["model"], endpoint.keys) == ("some-model", ["Bearer secret"])
    assert "secret" not in repr(model)


def test_an_endpoint_that_nobody_answers_is_said_to_be_away():
    with pytest.raises(ValueError, match="must reply with a chat completion"):
        ChatModel("http://127.0.0.1:9", "some-model", attempts=1).reply("hello")


def test_what_is_missing_about_an_endpoint_is_said(monkeypatch):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(ValueError, match="told which model to ask"):
        chat_model("http://127.0.0.1:9")
    with pytest.raises(ValueError, match="environment variable that is set, got NO_KEY"):
        chat_model("http://127.0.0.1:9", "some-model", "NO_KEY")


def test_a_model_in_a_folder_replies_as_it_generates(tmp_path: Path):
    tokenizer = tiny_tokenizer(tmp_path)
    base = tiny_base(tokenizer)
    base.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = chat_model(str(tmp_path))
    assert isinstance(model, LocalModel)
    model.max_new_tokens = 8
    turns = [{"role": "user", "content": "be kind"}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    said = base.generate(**asked, do_sample=False, max_new_tokens=8)[0, asked["input_ids"].shape[1] :]
    assert model.reply("be kind") == tokenizer.decode(said, skip_special_tokens=True)
