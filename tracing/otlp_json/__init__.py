"""OTLP JSON <-> spans, as the collector's file exporter and most tools write them.

A file holds one `TracesData` object, or one per line. Writing follows the OTLP/JSON rules:
camelCase keys, hex ids, 64-bit integers as strings, enum values as numbers. Reading is
tolerant, see `decoding` and `files`.
"""

from tracing.otlp_json.decoding import OtlpJsonError, decode
from tracing.otlp_json.encoding import dumps, encode
from tracing.otlp_json.files import LeftOut, read_spans

__all__ = ["LeftOut", "OtlpJsonError", "decode", "dumps", "encode", "read_spans"]
