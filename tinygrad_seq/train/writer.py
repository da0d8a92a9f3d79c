"""Convert sampled tokens to text, one at a time."""

from __future__ import annotations

from ..data import Vocabulary

_BETWEEN = {"paragraph": "\n\n", "line": "\n", "document": "\n\n"}


class Writer:
    r"""Convert sampled tokens to text incrementally.

    Parameters
    ----------
    vocabulary : Vocabulary
        The vocabulary of the model.
    unit : str
        The unit of the model; ``<EOS>`` is written as the separator of two units.

    Attributes
    ----------
    hidden : list of int
        The tokens that a model must not sample: ``<PAD>`` and ``<UNK>``.

    Examples
    --------
    >>> from tinygrad_seq.data import Vocabulary
    >>> vocabulary = Vocabulary.build(["the cat, the dog."], level="word")
    >>> writer = Writer(vocabulary, "line")
    >>> [writer.write(token) for token in vocabulary.encode("the cat, the dog", eos=True)]
    ['the', ' cat', ',', ' the', ' dog', '\n']
    """

    def __init__(self, vocabulary: Vocabulary, unit: str) -> None:
        self.vocabulary = vocabulary
        self.hidden = [vocabulary.pad, vocabulary.unk]
        self._between = _BETWEEN[unit]
        self._decoder = vocabulary.decoder()

    def write(self, token: int) -> str:
        """Return the text that `token` adds."""
        if token == self.vocabulary.eos:
            rest, self._decoder = self._decoder.finish(), self.vocabulary.decoder()
            return rest + self._between
        return self._decoder.add(token)
