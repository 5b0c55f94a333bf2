"""Mapping: how rows of any source become checked values of a dataset's fields. Plain Python."""

from __future__ import annotations

from apps.records.mapping.batch import MappedBatch, RowProblem, present
from apps.records.mapping.canonical import canonical_json, content_hash
from apps.records.mapping.compiler import CompiledMapper, Lookup, compile_mapping
from apps.records.mapping.expressions import FUNCTIONS as RULE_FUNCTIONS
from apps.records.mapping.expressions import CompiledRule, Expression, ExpressionRefused, RowRule
from apps.records.mapping.pipes import Pipe, PipeRefused, Step, pipe_to_list, pipe_to_text, read_pipe
from apps.records.mapping.rules import Rule
from apps.records.mapping.spec import FieldMapping, MappingSpec, check
from apps.records.mapping.suggest import SuggestedMapping, Suggestion, suggest
from apps.records.mapping.transforms import TRANSFORMS, Transform

__all__ = [
    "RULE_FUNCTIONS",
    "TRANSFORMS",
    "CompiledMapper",
    "CompiledRule",
    "Expression",
    "ExpressionRefused",
    "FieldMapping",
    "Lookup",
    "MappedBatch",
    "MappingSpec",
    "Pipe",
    "PipeRefused",
    "RowProblem",
    "RowRule",
    "Rule",
    "Step",
    "SuggestedMapping",
    "Suggestion",
    "Transform",
    "canonical_json",
    "check",
    "compile_mapping",
    "content_hash",
    "pipe_to_list",
    "pipe_to_text",
    "present",
    "read_pipe",
    "suggest",
]
