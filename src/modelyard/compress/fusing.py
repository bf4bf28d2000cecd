"""Attention and GELU as operators of ONNX Runtime's own, each one kernel on the CPU, before a graph is
quantized: what stays in full precision then takes less time than the products that do not."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)
from onnxscript.optimizer import optimize
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.ort_fusions import shape_optimization
from onnxscript.rewriter.ort_fusions.attention import fuse_attention
from onnxscript.rewriter.ort_fusions.erfgelu import fuse_erfgelu
from onnxscript.rewriter.ort_fusions.mha import fuse_mha1, fuse_mha2
from onnxscript.rewriter.ort_fusions.mha_bias import fuse_mha_bias
from onnxscript.rewriter.ort_fusions.mha_scale import fuse_mha_scale
from onnxscript.rewriter.ort_fusions.sdpa import fuse_sdpa
from onnxscript.rewriter.ort_fusions.sdpa_via_mha import replace_sdpa_by_mha
from onnxscript.rewriter.rules.common import gemm_to_matmul_add_rule

Products = Literal["inside", "outside"]
"""Where the products that give queries, keys and values stand: `inside` the operator Attention, one
matrix of weights for all three, or `outside`, before MultiHeadAttention."""

CONTRIBUTED = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""
MASK = 3
"""Which input of onnxscript's SDPA is added to the products of queries and keys."""


def fused(model: onnx.ModelProto, products: Products) -> onnx.ModelProto:
    """The model with its GELUs and its attention as single operators.

    A mask of finite values stays an input of its MultiHeadAttention, with the products outside:
    quantized Attention takes no mask. With other masks all attention stays in parts: where a whole
    row is masked, as in padding, the kernels give NaN.
    """
    kinds = {node.op_type for node in model.graph.node}
    if not kinds & {"Erf", "Softmax"}:
        return model
    graph = _with_gelus(model)
    CommonSubexpressionEliminationPass()(graph)
    fuse_sdpa(graph, apply_shape_inference=True)
    masks = _masks(graph)
    if not all(_is_finite(mask) for mask in masks):
        return onnx_ir.to_proto(_with_gelus(model))
    fuse_mha1(graph)
    fuse_mha2(graph)
    fuse_mha_scale(graph)
    if products == "inside" and not masks:
        fuse_mha_bias(graph)
        fuse_attention(graph)
    replace_sdpa_by_mha(graph)
    optimize(graph)
    whole = onnx_ir.to_proto(graph)
    for node in whole.graph.node:
        if node.op_type == "Attention":
            _without_equal_sizes(node)
    return whole


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types of what ONNX Runtime's own operators give, which ONNX's inference does
    not know: without them the quantizers pass over what follows."""
    for node in model.graph.node:
        if node.domain == CONTRIBUTED:
            value = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
            model.graph.value_info.append(value)
    return model


def _with_gelus(model: onnx.ModelProto) -> onnx_ir.Model:
    """The model with GELUs as single operators, ready for further fusions."""
    graph: onnx_ir.Model = onnx_ir.from_proto(model)
    # The order is that of onnxscript's optimize_for_ort. Its other fusions are left out: kernels for
    # a sum with its normalization or a bias with its GELU are slower than their parts, and a bias is
    # to join its quantized product.
    rewrite(graph, [gemm_to_matmul_add_rule])
    ShapeInferencePass()(graph)
    optimize(graph)
    shape_optimization.rules.apply_to_model(graph)
    optimize(graph)
    fuse_erfgelu(graph)
    RemoveUnusedNodesPass()(graph)
    return graph


def _masks(graph: onnx_ir.Model) -> list[onnx_ir.Value]:
    """What is added to products of queries and keys. A mask that lets everything pass, as a model
    makes itself where it is given none, is taken off."""
    found = []
    for node in graph.graph:
        if node.op_type != "SDPA" or len(node.inputs) <= MASK:
            continue
        mask = node.inputs[MASK]
        if mask is None:
            continue
        if _lets_everything_pass(mask):
            node.replace_input_with(MASK, None)
        else:
            found.append(mask)
    return found


def _lets_everything_pass(mask: onnx_ir.Value) -> bool:
    """Whether it is `Where(True, 0, …)`, the truth expanded to a shape or not."""
    chosen = mask.producer()
    if chosen is None or chosen.op_type != "Where":
        return False
    condition, added, _ = chosen.inputs
    assert condition is not None
    expand = condition.producer()
    if expand is not None and expand.op_type == "Expand":
        condition = expand.inputs[0]
    truth, zero = _constant(condition), _constant(added)
    if truth is None or zero is None:
        return False
    return bool(truth.all()) and not zero.any()


def _is_finite(mask: onnx_ir.Value) -> bool:
    """Whether it is a constant without infinities, or chosen from two."""
    chosen = mask.producer()
    parts: list[onnx_ir.Value | None] = [mask]
    if chosen is not None and chosen.op_type == "Where":
        parts = list(chosen.inputs[1:])
    values = [_constant(part) for part in parts]
    return all(value is not None and np.isfinite(value).all() for value in values)


def _constant(value: onnx_ir.Value | None) -> np.ndarray | None:
    """The tensor of a value that is the same for all inputs; None: it is not."""
    if value is None:
        return None
    tensor = onnx_ir.convenience.get_const_tensor(value)
    if tensor is None:
        return None
    return tensor.numpy()


def _without_equal_sizes(node: onnx.NodeProto) -> None:
    """Queries, keys and values of one size are the default, and the quantizer takes no other."""
    kept = []
    for attribute in node.attribute:
        sizes = set(attribute.ints)
        if attribute.name != "qkv_hidden_sizes" or len(sizes) > 1:
            kept.append(attribute)
    del node.attribute[:]
    node.attribute.extend(kept)
