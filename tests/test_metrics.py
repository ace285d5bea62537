import numpy as np
import pytest

from zoo.metrics import confusion_matrix, log_softmax, summarise

LOGITS = np.array([[2.0, 0, 0], [0, 3.0, 0], [1.0, 0, 0.5], [0, 0, 9.0]], dtype=np.float32)
LABELS = np.array([0, 1, 2, 2])


def test_rows_are_true_classes():
    expected = [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert confusion_matrix(LOGITS, LABELS).tolist() == expected


def test_figures_are_those_computed_by_hand():
    figures = summarise(LOGITS, LABELS)
    losses = [-np.log(np.exp(row)[label] / np.exp(row).sum()) for row, label in zip(LOGITS, LABELS, strict=True)]
    assert figures["top1"] == 0.75
    assert figures["macro_recall"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert figures["loss"] == pytest.approx(np.mean(losses))
    assert figures["num_pictures"] == 4
    assert "top5" not in figures


def test_top5_counts_the_five_best():
    logits = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    assert summarise(logits, np.array([7, 3, 2, 0]))["top5"] == 0.5


def test_large_logits_do_not_overflow():
    assert log_softmax(np.array([[1e4, 0.0]], dtype=np.float32))[0].tolist() == [0, -1e4]
