"""What a type checker is told may be written is what may be written."""

from __future__ import annotations

import ast
import inspect

import pytest

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource


@pytest.mark.parametrize("cls", [Entity, FeatureService, FeatureView, Field, FileSource])
def test_the_declared_arguments_are_the_real_ones(cls: type) -> None:
    tree = ast.parse(inspect.getsource(inspect.getmodule(cls)))
    (owner,) = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == cls.__name__]
    (declared,) = [one for one in ast.walk(owner) if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    arguments = [one.arg for one in (*declared.args.args, *declared.args.kwonlyargs)]
    assert arguments == ["self", *inspect.signature(cls).parameters]
    assert bool(declared.args.kwonlyargs) == (cls is not Field)
