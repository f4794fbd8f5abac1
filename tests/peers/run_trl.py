"""Trains by TRL's SFTTrainer, on one thread in fp32: run_trl.py < request -> answer, both JSON.

request: {"base", "records", "output", "options": members of SFTConfig} -> {"ids", "learned", "losses"}: of each record, in order, its
tokens and which of them are targets; the loss of each step. The tuned model is written to `output`. A process of its own, because the
trainer seeds and sets what belongs to a whole process.
"""
import json
import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main():
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(request["base"], dtype=torch.float32, attn_implementation="eager")
    config = SFTConfig(output_dir=request["output"], bf16=False, use_cpu=True, gradient_checkpointing=False, logging_steps=1,
                       logging_nan_inf_filter=False, report_to=[], save_strategy="no", disable_tqdm=True, packing=False,
                       lr_scheduler_type="constant", optim="adamw_torch", **request["options"])
    trainer = SFTTrainer(model=model, processing_class=AutoTokenizer.from_pretrained(request["base"]), args=config,
                         train_dataset=Dataset.from_list(request["records"]))
    rows = [(row["input_ids"], [label != -100 for label in row["labels"]]) for row in trainer.train_dataset]
    trainer.train()
    trainer.save_model()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"ids": [ids for ids, _ in rows], "learned": [learned for _, learned in rows], "losses": losses}


if __name__ == "__main__":
    answer = main()
    print("\n" + json.dumps(answer))   # the trainer prints lines of its own before
