"""What bench/scaling/scaling.md says of how each part is measured."""

INTRODUCTION = (
    "How time and memory grow. Go by the CPU seconds, of one thread: the machine has two cores and others worked on them, "
    "so that seconds on the clock say little. Each figure is of one run. Memory is a process's own (RssAnon, looked at "
    "every 20 ms): resident, and no page of a file. Mapped rows count as resident too while the system has no other use "
    "for its memory, and are dropped as soon as it has."
)
ROWS = (
    "Sentences of 20 tokens on average, log-normal, in JSON Lines: read, checked and encoded, first and again with the "
    "cache; the batches of an epoch put in order; 20 steps of 32 rows, with the order that they "
    "begin with. The base model is a BERT of one layer of width 16 with MiniLM's tokenizer. CPU seconds:"
)
PEAKS = (
    "Most memory of its own in each stage, MB. At the start torch, transformers and others are there; the steps bring more "
    "libraries. Command: all of `python -m tlplug`, with the cache, trivial baseline, evidence and report."
)
WHY = (
    "Rows of files below 64 MB are held in memory (`LARGE` in tlplug/data/readers/arrow_store.py); beyond that they "
    "are mapped, and what a row still leaves is numbers of 8 bytes: its line (data/readers/text_table.py), its id "
    "(data/read.py), its length and its place in the order (data/batching.py). The trivial baseline of classification "
    "puts the labels of all training rows in a list (`trivial` in plugins/heads/classification.py), about 70 bytes "
    "each, most of what the command adds."
)
LOADER = "Batches of about 32 rows, read from the cache and put together without a model, after their order has been made."
LENGTH = (
    "Batches of 2048 tokens (`data.tokens_per_batch=2048`), in fewer and longer texts; lora on MiniLM, 12 steps, of which "
    "the first is the slowest. Padding is not counted as tokens."
)
BATCH = "`data.batch_size` on the sentiment task that ships; lora on MiniLM, 12 steps."
STRATEGIES = (
    "One seed, 96 training rows of the sentiment task, MiniLM, one epoch, stop_early=false; an empty cache each time. The "
    "start, reading, encoding and the trivial baseline are there once. A further strategy adds a trial step, its training, "
    "its test and the libraries that only it needs."
)
PROCESSES = (
    "The same 12 steps of 16 rows in one process, and in two with 8 rows each (gloo, `trainer.devices=2 "
    "trainer.strategy=ddp`). CPU seconds are those of the first process times their number. What is sent is counted: "
    "gradients in float32, in a ring 2(n-1)/n of them from each process at each step. Each process also steps its own "
    "optimizer over all that moves. Two processes and other work share two cores, so that the clock says nothing of two "
    "free machines."
)
