# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam pipelines to build graphs in, without the work that Beam does again for each of them.

Most of the time of an expansion went into what comes out alike every time: parsing no command line at all, for each
look at a pipeline's options (60 an expansion); looking for state and timers in the signatures of all methods of a DoFn
(six times for each); looking for IPython, to label what a notebook's cells apply; and what only the author of a DoFn
needs: reading its source, to warn of mixing yield and return, and keeping the lines of code that led to each type hint.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import MethodType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core, userstate
from apache_beam.typehints import decorators
from apache_beam.utils import interactive_utils


@contextmanager
def new_pipeline(**options: Any) -> Iterator[beam.Pipeline]:
    """Makes a pipeline, and removes the directory that Beam makes for each.

    Args:
        **options: Its options by name. The command line of this process is none of them.
    """
    pipeline = beam.Pipeline(options=_Options(**options))
    try:
        yield pipeline
    finally:
        with suppress(OSError):
            os.rmdir(pipeline.local_tempdir)  # nothing is in it before a pipeline runs


class _Options(PipelineOptions):  # type: ignore[misc]
    """Options without a command line, which keep the views of them that they were asked for."""

    def __init__(self, **values: Any):
        # PipelineOptions refuses attributes that are no options.
        self.__dict__.update(_defaults_of(PipelineOptions).__dict__, _all_options=values, _views={})

    def view_as(self, cls: Any) -> Any:
        views = self.__dict__["_views"]
        if cls not in views:
            defaults = _defaults_of(cls)
            for name, value in defaults._all_options.items():
                self._all_options.setdefault(name, copy.copy(value))  # lists are changed in place
            views[cls] = view = cls.__new__(cls)  # Beam's way to copy one parses again
            view.__dict__.update(defaults.__dict__, _all_options=self._all_options, view_as=self.view_as)
        return views[cls]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Options:
        return _Options(**copy.deepcopy(self._all_options, memo))


_defaults: dict[type, PipelineOptions] = {}


def _defaults_of(cls: type) -> PipelineOptions:
    if cls not in _defaults:
        _defaults[cls] = defaults = cls(flags=[])
        names = defaults._visible_option_list()
        defaults.__dict__["_visible_option_list"] = lambda: names  # Beam lists them anew for each that is asked for
    return _defaults[cls]


_Specs = tuple[set[userstate.StateSpec], set[userstate.TimerSpec]]
_look_for_specs: Callable[[beam.DoFn], _Specs] = userstate.get_dofn_specs
_specs: dict[type, _Specs] = {}


def _specs_of(dofn: beam.DoFn) -> _Specs:
    """Looks for state and timers once for each class of DoFns.

    They are in the defaults of its methods' parameters, and so alike for all its instances, but for those that have
    methods of their own, such as Beam's wrappers of functions.
    """
    if any(isinstance(value, MethodType) for value in vars(dofn).values()):
        return _look_for_specs(dofn)
    kind = type(dofn)
    if kind not in _specs:
        _specs[kind] = _look_for_specs(dofn)
    states, timers = _specs[kind]
    return set(states), set(timers)


# Beam calls them through their modules or classes. It has no other way in.
userstate.get_dofn_specs = _specs_of
core._check_fn_use_yield_and_return = lambda process: False
decorators.IOTypeHints._make_origin = classmethod(lambda cls, bases, tb=True, msg=(): [])
interactive_utils.is_in_ipython = lambda: False
