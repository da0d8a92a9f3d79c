"""`to_hub` and `from_hub`: a model in the folder layout of model hubs, read and written without network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..autograd.serialization import read_arrays, save
from ..base.files import read_json, shown, write_atomically
from ..data import Vocabulary
from ..errors import ArgumentError, CheckpointError, DataError, TinygradSeqError
from ..nn import Module, Recurrent
from ..train import LanguageModel, Run
from ..train.language_model import CELLS
from .tokenizer_json import tokenizer_of, tokens_of

_MODEL_TYPE = "tinygrad_seq"
_SIZES = ("vocab_size", "embedding_size", "hidden_size", "num_layers")


def to_hub(source: Any, folder: str | os.PathLike[str], vocabulary: Vocabulary | None = None) -> None:
    """Write a model as the folder of a model hub: config.json, model.safetensors, tokenizer.json, README.md.

    The library tokenizers reads ``tokenizer.json``, and safetensors the weights. An existing README.md is kept.

    Parameters
    ----------
    source : path, Run or Module
        A run folder, whose best checkpoint is taken, or a model.
    folder
        The folder; it is made if it is missing.
    vocabulary : Vocabulary, optional
        The vocabulary of a model; a run has its own.

    Raises
    ------
    CheckpointError
        If the run cannot be read or the folder not written.
    ArgumentError
        If `source` is none of these.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_seq as ts
    >>> vocabulary = ts.data.Vocabulary("abc")
    >>> model = ts.train.LanguageModel(len(vocabulary), 4, 8, cell="gru")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.interop.to_hub(model, folder, vocabulary)
    ...     model, vocabulary = ts.interop.from_hub(folder)
    >>> vocabulary.encode("cab")
    array([5, 3, 4])
    """
    if isinstance(source, str | os.PathLike):
        source = Run.open(source)
    facts: dict[str, Any] = {}
    model = source
    if isinstance(source, Run):
        model, step = source.load_model()
        vocabulary = source.vocabulary
        facts = {"step": step}
    if not isinstance(model, Module):
        raise ArgumentError(f"to_hub: expected a run folder or a Module, got {type(source).__name__}; pass one.")
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"to_hub: expected to make {shown(root)}, got: {getattr(error, 'strerror', error)}; choose another."
        ) from error
    config = _config(model, vocabulary) | facts
    save(model.state_dict(), root / "model.safetensors", metadata={"format": "pt"})
    _write_json(root / "config.json", config)
    if vocabulary is not None:
        _write_json(root / "tokenizer.json", tokenizer_of(vocabulary))
    if not (root / "README.md").exists():
        write_atomically(root / "README.md", _card(model, config).encode(), "to_hub")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n", "to_hub")


def _config(model: Module, vocabulary: Vocabulary | None) -> dict[str, Any]:
    dtypes = {str(parameter.dtype) for parameter in model.parameters()}
    config: dict[str, Any] = {
        "model_type": _MODEL_TYPE,
        "architectures": [type(model).__name__],
        "dtype": dtypes.pop() if len(dtypes) == 1 else "float32",
    }
    if isinstance(model, LanguageModel):
        recurrent: Recurrent = model.recurrent
        (kind,) = {type(cell) for cell in recurrent.cells}
        config |= {
            "vocab_size": model.vocabulary_size,
            "embedding_size": model.embedding.weight.shape[1],
            "hidden_size": model.decoder.weight.shape[1],
            "num_layers": recurrent.num_layers,
            "dropout": model.dropout.p,
            "cell": next((name for name, each in CELLS.items() if each is kind), kind.__name__),
        }
    if vocabulary is not None:
        config["tokenizer"] = {"level": vocabulary.level, "lowercase": vocabulary.lowercase, "nfc": vocabulary.nfc}
        config |= {"pad_token_id": vocabulary.pad, "unk_token_id": vocabulary.unk, "eos_token_id": vocabulary.eos}
    return config


def _card(model: Module, config: dict[str, Any]) -> str:
    """Return a model card: what hubs read of it, and how to load the model."""
    language = isinstance(model, LanguageModel)
    head = ["---", "library_name: tinygrad_seq", "tags:", "- recurrent-neural-network"]
    head += ["pipeline_tag: text-generation"] if language else []
    count = sum(parameter.size for parameter in model.parameters())
    rows = [f"| {name} | {value} |" for name, value in config.items() if isinstance(value, str | int | float)]
    call = "model, vocabulary = ts.interop.from_hub(folder)" if language else "ts.interop.from_hub(folder, model)"
    return "\n".join(
        [
            *head,
            "---",
            "",
            f"# {config['architectures'][0]}",
            "",
            f"A model of {count:,} parameters, made with tinygrad_seq.",
            "",
            "```python",
            "import tinygrad_seq as ts",
            "",
            call,
            "```",
            "",
            "| setting | value |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def from_hub(folder: str | os.PathLike[str], model: Module | None = None) -> tuple[Module, Vocabulary | None]:
    """Read a model from a folder that `to_hub` wrote, or the weights of any hub folder into a model.

    Parameters
    ----------
    folder
        The folder, with ``config.json`` and ``model.safetensors``.
    model : Module, optional
        A model to load the weights into; needed unless it is a `LanguageModel` of built-in cells.

    Returns
    -------
    model : Module
        `model`, or a new language model in evaluation mode.
    vocabulary : Vocabulary or None
        That of ``tokenizer.json``, if `to_hub` wrote it.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the weights do not fit.
    ArgumentError
        If `model` is needed and not given, or the names and shapes do not fit it.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.interop.to_hub(ts.nn.Linear(2, 3), folder)
    ...     model, _ = ts.interop.from_hub(folder, ts.nn.Linear(2, 3))
    >>> model(ts.ones((1, 2))).shape
    (1, 3)
    """
    root = Path(folder)
    config = read_json(root / "config.json", "from_hub")
    arrays, _ = read_arrays(root / "model.safetensors", "from_hub")
    if model is None:
        model = _language_model(config, sum(array.size for array in arrays.values()), root).eval()
    try:
        model.load_state_dict(arrays)
    except TinygradSeqError as error:
        raise type(error)(f"from_hub: {shown(root)}: {error}") from error
    how = config.get("tokenizer")
    if not isinstance(how, dict):
        return model, None
    content = read_json(root / "tokenizer.json", "from_hub")
    try:
        options = {name: how.get(name, False) for name in ("lowercase", "nfc")}
        return model, Vocabulary(tokens_of(content), how.get("level"), **options)  # type: ignore[arg-type]
    except (ArgumentError, DataError) as error:
        raise CheckpointError(f"from_hub: {shown(root / 'tokenizer.json')}: {error}") from error


def _language_model(config: dict[str, Any], held: int, root: Path) -> LanguageModel:
    """Return the language model of a configuration; its size must be that of the weights."""
    cell, dropout = config.get("cell"), config.get("dropout", 0.0)
    known = isinstance(cell, str) and cell in CELLS
    if config.get("model_type") != _MODEL_TYPE or config.get("architectures") != ["LanguageModel"] or not known:
        raise ArgumentError(
            f"from_hub: expected a language model of the cells {', '.join(CELLS)} in {shown(root)}, got "
            f"{config.get('architectures')!r:.60} of {cell!r:.40}; make the model and pass it: from_hub(folder, model)."
        )
    sizes = [config.get(name) for name in _SIZES]
    if not all(type(size) is int and 1 <= size <= held for size in sizes) or not isinstance(dropout, int | float):
        raise CheckpointError(
            f"from_hub: expected {', '.join(_SIZES)} of {held:,} weights in {shown(root / 'config.json')}, got "
            f"{ascii(sizes)[:100]}; restore the file."
        )
    vocab, embedding, hidden, layers = sizes
    least = vocab * (embedding + hidden) + hidden * hidden * layers + embedding * hidden  # type: ignore[operator]
    if least > held:
        raise CheckpointError(
            f"from_hub: expected at least {least:,} weights for {shown(root / 'config.json')}, got {held:,}; check it."
        )
    return LanguageModel(vocab, embedding, hidden, layers, float(dropout), cell)  # type: ignore[arg-type]
