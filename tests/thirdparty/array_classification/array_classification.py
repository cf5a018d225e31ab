from statistics import fmean

from tlplug import Row, TransformersHead


class ArrayClassification(TransformersHead):
    """One label for an array of numbers, such as a small picture."""

    contract = 1
    columns = {"image": "nested lists of numbers, channels first", "label": "its class"}
    targets = ("label",)
    auto_class = "AutoModelForImageClassification"
    head_modules = ("classifier",)
    primary_score = "accuracy"

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        if row["image"] is not None and len(shape(row["image"])) != 3:
            return f"column 'image' has {len(shape(row['image']))} dimensions, not channels, rows and columns"
        return super().row_error(row, with_targets)

    def inputs(self, row: Row):
        import numpy

        return {"pixel_values": numpy.asarray(row["image"], numpy.float32)}

    def scores(self, predictions, rows):
        return {"accuracy": fmean(self.example_scores(predictions, rows))}

    def example_scores(self, predictions, rows):
        return [float(p["prediction"] == str(row["label"])) for p, row in zip(predictions, rows, strict=True)]


def shape(value) -> tuple[int, ...]:
    import numpy

    return numpy.shape(value)
