import json

import numpy as np
import pytest

from zoo import metrics
from zoo.errors import ZooError
from zoo.metrics import calibration_curve, class_figures, confusion_matrix, log_softmax, mistakes, summarise

from .refusals import refused

LOGITS = np.array([[2.0, 0, 0], [0, 3.0, 0], [1.0, 0, 0.5], [0, 0, 9.0]], dtype=np.float32)
LABELS = np.array([0, 1, 2, 2])


def one_hot(answers: list[int], num_classes: int, confidence: float = 0.9) -> np.ndarray:
    """Logits whose softmax gives each answer this confidence."""
    logits = np.full((len(answers), num_classes), np.log((1 - confidence) / (num_classes - 1)))
    logits[np.arange(len(answers)), answers] = np.log(confidence)
    return logits


def test_rows_are_true_classes():
    expected = [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert confusion_matrix(LOGITS, LABELS).tolist() == expected


def test_figures_are_those_computed_by_hand():
    figures = summarise(LOGITS, LABELS)
    losses = [-np.log(np.exp(row)[label] / np.exp(row).sum()) for row, label in zip(LOGITS, LABELS, strict=True)]
    assert figures["top1"] == 0.75
    assert figures["macro_recall"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert figures["loss"] == pytest.approx(np.mean(losses))
    assert figures["num_pictures"] == 4
    assert "top5" not in figures
    assert json.loads(json.dumps(figures)) == figures


def test_each_class_has_its_precision_recall_and_f1():
    # Of class 0, six of eight are found, and six of nine answers are right.
    found = class_figures(np.array([[6, 2, 0], [3, 5, 0], [0, 0, 0]]))
    assert found.precision.tolist() == pytest.approx([6 / 9, 5 / 7, 0])
    assert found.recall.tolist() == pytest.approx([6 / 8, 5 / 8, 0])
    assert found.f1.tolist() == pytest.approx([12 / 17, 10 / 15, 0])
    assert found.support.tolist() == [8, 8, 0]


def test_a_class_without_pictures_does_not_count_and_one_that_is_never_predicted_counts_as_0():
    labels = np.array([0, 0, 1, 1])
    figures = summarise(one_hot([0, 0, 0, 0], 3), labels)
    assert figures["macro_recall"] == 0.5
    assert figures["macro_f1"] == pytest.approx((2 * 0.5 / 1.5 + 0) / 2)
    strayed = summarise(one_hot([0, 0, 1, 2], 3), labels)  # class 2 is an answer, not a picture
    assert strayed["macro_recall"] == 0.75
    assert strayed["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_top5_counts_the_five_best():
    logits = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    assert summarise(logits, np.array([7, 3, 2, 0]))["top5"] == 0.5


def test_large_logits_do_not_overflow():
    assert log_softmax(np.array([[1e4, 0.0]], dtype=np.float32))[0].tolist() == [0, -1e4]


def test_the_calibration_error_is_the_mean_gap_weighted_by_pictures():
    # Six answers with confidence 0.9, three right: a gap of 0.4. Two with 0.62, both right: a gap of 0.38.
    logits = np.concatenate([one_hot([0] * 6, 2, 0.9), one_hot([0] * 2, 2, 0.62)])
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    found = calibration_curve(logits, labels)
    assert len(found.counts) == 15
    assert found.counts[[9, 13]].tolist() == [2, 6]
    assert found.confidence[[9, 13]].tolist() == pytest.approx([0.62, 0.9])
    assert found.accuracy[[9, 13]].tolist() == [1, 0.5]
    assert found.error == pytest.approx((2 * 0.38 + 6 * 0.4) / 8)
    assert summarise(logits, labels)["ece"] == pytest.approx(found.error)


def test_bins_hold_their_upper_edge():
    found = calibration_curve(np.array([[0.0, 0.0], [99.0, -99.0]]), np.array([0, 0]), bins=2)
    assert found.counts.tolist() == [1, 1]  # 0.5 lies in the first, 1 in the last
    assert calibration_curve(np.array([[800.0, 0.0]]), np.array([0])).counts.sum() == 1


def test_mistakes_are_sorted_by_confidence_and_only_those_that_are_wrong():
    logits = np.concatenate([one_hot([1], 3, sure) for sure in (0.6, 0.9, 0.99, 0.7)])
    assert mistakes(logits, np.array([0, 0, 1, 0])).tolist() == [1, 3, 0]
    assert mistakes(logits, np.array([1, 1, 1, 1])).tolist() == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [summarise, confusion_matrix, calibration_curve, mistakes])
def test_logits_that_are_no_numbers_are_an_error_not_a_class(function, value):
    logits = LOGITS.copy()
    logits[1, 2] = value
    with refused("logits-not-finite", "1 of 4 pictures", kind=ZooError) as caught:
        function(logits, LABELS)
    assert caught.value.remedy


def test_confidences_are_probabilities_of_the_answer():
    assert metrics.confidences(one_hot([0, 2], 3, 0.8)).tolist() == pytest.approx([0.8, 0.8])
