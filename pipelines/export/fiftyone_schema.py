"""FiftyOne's description of the dataset and its fields: metadata.json."""

from typing import Any

from pipelines.export.images import measures_of
from pipelines.export.report import SIDES, Report
from pipelines.io.urls import redact

VERSION = "1.0.0"
"""Of FiftyOne's schema; later versions migrate it when they import."""
FIELDS = "fiftyone.core.fields"
LABELS = "fiftyone.core.labels"
TEXTS = ("side", "shard", "key", "url", "meta")
Document = dict[str, Any]


def metadata(report: Report) -> Document:
    """The dataset's own document; everything that is not here FiftyOne fills in."""
    own = [
        _field("id", "ObjectIdField", stored="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield="StringField"),
        _field("metadata", "EmbeddedDocumentField", embedded="fiftyone.core.metadata.Metadata"),
        _field("created_at", "DateTimeField"),
        _field("last_modified_at", "DateTimeField"),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
    ]
    own += [_field(name, "StringField") for name in TEXTS]
    own += [_field("words", "ListField", subfield="StringField")]
    own += [_label("flagged", "Classifications", [_classifications(_details())])]
    own += [_label("labels", "Classifications", [_classifications([])])]
    own += [_label(name, "Regression", _regression()) for name in measures_of(report)]
    own += [_label("classifier", "Regression", _regression())]
    told = {"verdict": report.summary["verdict"], "auc": report.overall["effect"]}
    runs = {side: redact(report.summary[side]["url"]) for side in SIDES}
    return {
        "version": VERSION,
        "media_type": "image",
        "description": f"{report.summary['verdict']}. Flagged by nhd: an image here is no error.",
        "info": {"nhd": {**told, **runs, "report": redact(report.url), "digest": report.digest}},
        "sample_fields": own,
        "frame_fields": [],
    }


def _field(
    name: str,
    kind: str,
    subfield: str | None = None,
    embedded: str | None = None,
    fields: list[Document] | None = None,
    stored: str | None = None,
) -> Document:
    return {
        "name": name,
        "ftype": f"{FIELDS}.{kind}",
        "embedded_doc_type": embedded,
        "subfield": subfield and f"{FIELDS}.{subfield}",
        "fields": fields or [],
        "db_field": stored or name,
        "description": None,
        "info": None,
        "read_only": name in ("created_at", "last_modified_at"),
    }


def _label(name: str, kind: str, fields: list[Document]) -> Document:
    return _field(name, "EmbeddedDocumentField", embedded=f"{LABELS}.{kind}", fields=fields)


def _base() -> list[Document]:
    tags = _field("tags", "ListField", subfield="StringField")
    return [_field("id", "ObjectIdField", stored="_id"), tags]


def _regression() -> list[Document]:
    return [*_base(), _field("value", "FloatField"), _field("confidence", "FloatField")]


def _classification() -> list[Document]:
    floats = [_field("confidence", "FloatField"), _field("logits", "VectorField")]
    return [*_base(), _field("label", "StringField"), *floats]


def _details() -> list[Document]:
    """What a flag says beside its label; the names are those of the flagged samples."""
    numbers = [_field("value", "FloatField"), _field("baseline_quantile", "FloatField")]
    return [_field("text", "StringField"), *numbers, _field("rank", "IntField")]


def _classifications(details: list[Document]) -> Document:
    return _field(
        "classifications",
        "ListField",
        subfield="EmbeddedDocumentField",
        embedded=f"{LABELS}.Classification",
        fields=[*_classification(), *details],
    )
