"""Load the course's arrays into cells, and read gradients by the names of the course.

In the course, examples are columns, (features, batch[, time]). The package uses (N, features) and (T, N, features), the
same array with its axes reversed: ``x.T``.
"""

from __future__ import annotations

import numpy as np

import tinygrad_seq as ts
from tests.conformance.cases import Arrays, gradient

LSTM_NAMES = {"Wf": "Wf", "bf": "bf", "Wi": "Wu", "bi": "bu", "Wc": "Wc", "bc": "bc", "Wo": "Wo", "bo": "bo"}


def rnn_cell(arrays: Arrays) -> ts.nn.NotesRNNCell:
    """Return the cell with the course's Wax, Waa and ba (called b in its second assignment)."""
    hidden, features = arrays["Wax"].shape
    cell = ts.nn.NotesRNNCell(features, hidden).double()
    bias = arrays["ba"] if "ba" in arrays else arrays["b"]
    cell.load_state_dict({"Wa": np.hstack([arrays["Waa"], arrays["Wax"]]), "ba": bias})
    return cell


def lstm_cell(arrays: Arrays) -> ts.nn.NotesLSTMCell:
    """Return the cell with the course's Wf, Wi, Wc, Wo and their biases."""
    hidden, both = arrays["Wf"].shape
    cell = ts.nn.NotesLSTMCell(both - hidden, hidden).double()
    cell.load_state_dict({ours: arrays[theirs] for theirs, ours in LSTM_NAMES.items()})
    return cell


def gradients(cell: ts.nn.NotesRNNCell | ts.nn.NotesLSTMCell) -> Arrays:
    """Return the gradients of the parameters by the course's names, ``d Wax`` and so on."""
    if isinstance(cell, ts.nn.NotesLSTMCell):
        return {f"d {theirs}": gradient(getattr(cell, ours)) for theirs, ours in LSTM_NAMES.items()}
    both = gradient(cell.Wa)
    return {"d Waa": both[:, : cell.hidden_size], "d Wax": both[:, cell.hidden_size :], "d ba": gradient(cell.ba)}
