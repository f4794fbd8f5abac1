"""TRL + PEFT on the same base and examples as a lathe run: the peer of scripts/bench_tuning.

usage: bench_trl.py BASE EXAMPLES OUTPUT MARK STEPS BATCH RANK      writes MARK when the first update is done
"""
import sys
from pathlib import Path

base, examples, output, mark, steps, batch, rank = sys.argv[1:]

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class FirstStep(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        Path(mark).touch()


model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
trainer = SFTTrainer(
    model=model, processing_class=AutoTokenizer.from_pretrained(base),
    train_dataset=load_dataset("json", data_files=examples, split="train", cache_dir=output + ".cache"),
    args=SFTConfig(output_dir=output, max_steps=int(steps), per_device_train_batch_size=int(batch), learning_rate=2e-4,
                   max_length=512, bf16=True, use_cpu=True, gradient_checkpointing=False, logging_steps=1, report_to=[],
                   save_strategy="no", disable_tqdm=True, seed=17),
    peft_config=LoraConfig(r=int(rank), lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[FirstStep()])
trainer.train()
trainer.save_model()
