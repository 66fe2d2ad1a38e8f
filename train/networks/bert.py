"""A text encoder of the BERT family under a classifier of its own.

The encoder is built by `transformers` from its configuration, which travels in the checkpoint's spec: where a
checkpoint is opened, neither the directory that it was fine-tuned from nor the internet is needed.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from train.networks.quiet_transformers import quiet_transformers

POOLINGS = ("mean", "first")
DEFAULT_DROPOUT = 0.1


def build(
    config: dict[str, Any], classes: int, pooling: str = "mean", dropout: float = DEFAULT_DROPOUT
) -> nn.Module:
    """Build the network.

    Args:
        config: What the directory's ``config.json`` says; its ``model_type`` names the family.
        classes: Number of scores.
        pooling: ``mean`` of all tokens, or the ``first`` one's.
        dropout: Share of the pooled features that is left out while training.

    Returns:
        A module that takes input_ids and attention_mask, int64 (N, T), and gives logits float32 (N, classes).

    Raises:
        ValueError: The configuration is of no encoder, or an argument makes no sense.
    """
    if pooling not in POOLINGS or classes < 2:
        raise ValueError(f"pooling {pooling!r}, classes {classes}")
    with quiet_transformers():
        return TextClassifier(_encoder(config), classes, pooling, dropout)


def _encoder(config: dict[str, Any]) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    settings = {key: value for key, value in config.items() if key != "model_type"}
    made = AutoConfig.for_model(config.get("model_type", ""), **settings)
    if getattr(made, "is_decoder", False) or getattr(made, "is_encoder_decoder", False):
        raise ValueError(f"model type {config.get('model_type')!r} is no encoder")
    # Plain matrix products and a softmax: what every exporter knows and every engine fuses.
    return AutoModel.from_config(made, attn_implementation="eager", **_without_pooler(made))


class TextClassifier(nn.Module):
    """See `build`. `encoder` is of `transformers`, `classifier` is the head."""

    def __init__(self, encoder: Any, classes: int, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(encoder.config.hidden_size, classes)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (N, classes)."""
        features = self.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)[0]
        if self.pooling == "first":
            return self.classifier(self.dropout(features[:, 0]))
        weights = attention_mask[:, :, None].to(features.dtype)
        pooled = (features * weights).sum(dim=1) / weights.sum(dim=1)
        return self.classifier(self.dropout(pooled))

    def stages(self) -> list[tuple[str, nn.Module]]:
        """From embeddings over the layers to the head; what freezing and layer-wise rates go by."""
        layers = _layers_of(self.encoder)
        inner = {id(parameter) for _, layer in layers for parameter in layer.parameters()}
        outer = nn.ParameterList([p for p in self.encoder.parameters() if id(p) not in inner])
        return [("embeddings", outer), *layers, ("classifier", self.classifier)]


def _layers_of(encoder: nn.Module) -> list[tuple[str, nn.Module]]:
    """The encoder's layers: its longest list of modules."""
    lists = [(n, m) for n, m in encoder.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return []
    name, layers = max(lists, key=lambda entry: len(entry[1]))
    return [(f"encoder.{name}.{at}", layer) for at, layer in enumerate(layers)]


def _without_pooler(config: Any) -> dict[str, Any]:
    """Most of the family can leave out the pooler, which was trained to tell sentences apart."""
    from inspect import signature

    from transformers import AutoModel

    model = AutoModel._model_mapping[type(config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in signature(model).parameters else {}


def longest_text(config: dict[str, Any]) -> int:
    """Most tokens that the position embeddings have room for.

    RoBERTa and its kin number positions from behind the padding's, and lose those.
    """
    positions = int(config.get("max_position_embeddings", 512))
    return (
        positions - int(config.get("pad_token_id", 0)) - 1
        if "roberta" in str(config.get("model_type"))
        else positions
    )
