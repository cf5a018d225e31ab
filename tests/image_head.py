"""A head for images, which tests derive from for images in other forms."""

from tlplug import TransformersHead


class ImageHead(TransformersHead):
    """One label for an image."""

    contract = 1
    columns = {"image": "an image", "label": "its class"}
    targets = ("label",)
    auto_class = "AutoModelForImageClassification"
    head_modules = ("classifier",)
    primary_score = "accuracy"

    def inputs(self, row):
        return row["image"]

    def example_scores(self, predictions, rows):
        return [float(p["prediction"] == row["label"]) for p, row in zip(predictions, rows, strict=True)]
