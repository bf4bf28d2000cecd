"""A trained model to start from: its architecture, and the model with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.errors import UsageError
from modelyard.families.language.config import LanguageModel
from modelyard.families.language.parts import CheckpointParts

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from modelyard.families.language.model import CausalLanguageModel


class Checkpoint(CheckpointParts):
    """One that can be loaded."""

    def architecture(self, settings: LanguageModel) -> PretrainedConfig:
        """Its architecture, with the global tokens that the settings add, and a window where it
        has none.

        Raises:
            UsageError: its positions do not allow that.
        """
        from modelyard.families.language.architecture import has_fixed_rotation, read_config

        config = read_config(self.config)
        if settings.global_tokens:
            if config.model_type == "gpt2" or not has_fixed_rotation(config):
                raise UsageError(
                    f"checkpoint {self.folder}: global tokens need rotary positions of one length. "
                    "Type: --set model.global_tokens=0"
                )
            config.global_tokens = settings.global_tokens
            config.sliding_window = getattr(config, "sliding_window", None) or settings.window
        return config

    def load(self, settings: LanguageModel) -> CausalLanguageModel:
        """The model with its weights, in float32."""
        import torch
        from transformers import AutoModelForCausalLM

        from modelyard.families.language.architecture import attention_of
        from modelyard.families.language.model import CausalLanguageModel, with_far_positions
        from modelyard.training.loop import load_weights

        config = self.architecture(settings)
        if self.own:
            model = CausalLanguageModel(config)
            load_weights(model, self.folder)
            return model
        try:
            network = AutoModelForCausalLM.from_pretrained(
                str(self.folder),
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation=attention_of(config),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"checkpoint {self.folder} cannot be read: {str(error).splitlines()[0]}"
            ) from None
        return CausalLanguageModel(config, with_far_positions(network, config))
