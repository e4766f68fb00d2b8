"""Programs of others as commands: run a few times, their own log read for the phases, or two numbers of steps compared."""
import re
import shlex
import subprocess
import tempfile
import time

import schema


def run(command, echo):
    """(seconds, what it printed). Errors end with its last lines."""
    if echo:
        print(shlex.join(command), flush=True)
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(done.stdout.split()[-40:])}")
    return seconds, done.stdout


def total(pattern, log):
    """Sum of all numbers that the pattern finds; None where it finds none. Experts sample one after the other."""
    found = [float(n) for n in re.findall(pattern, log)]
    return sum(found) if found else None


def main(description, program, name, make_command, read_log):
    """A peer's script: `program` is its build's usual name; make_command and read_log as measure() wants them."""
    args = parser(description, program).parse_args()
    with tempfile.TemporaryDirectory() as args.folder:
        return measure(args, name, "", make_command, read_log)


def parser(description, program):
    p = schema.parser(description)
    p.add_argument("--program", required=True, help=f"your build of {program}")
    p.add_argument("--model-name", required=True, help="as ours is called in `zoetrope bench pipeline`, such as wan2.1-1.3b")
    p.add_argument("--dtype", default="bf16", help="of the arithmetic, for pairing with ours")
    p.add_argument("--width", type=int, default=832)
    p.add_argument("--height", type=int, default=480)
    p.add_argument("--frames", type=int, default=33)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--prompt", default="a small red star bounces on a blue floor")
    p.add_argument("rest", nargs="*", help="behind --: flags of its own, such as where the model's files are")
    return p


def measure(args, program, version, make_command, read_log):
    """Rows as ours: the whole, a step, decode. `make_command(args, steps)` -> argv; `read_log(log, seconds)` -> dict with
    "whole" and, where the log tells, "sampling" and "decode" in seconds. Where it does not tell of sampling, a step is what
    twice as many steps take longer."""
    report = schema.Report(program, version)
    report.device(args.device, f"as {program} was built")
    size = f"{args.model_name} {args.width}x{args.height}" + (f"x{args.frames}" if args.frames > 1 else "")
    common = dict(device=args.device, dtype=args.dtype)
    whole, steps, decode, errors = [], [], [], []
    for _ in range(args.runs):
        try:
            seconds, log = run(make_command(args, args.steps), echo=not whole)
            told = read_log(log, seconds)
            whole.append(told["whole"])
            if told.get("sampling"):
                steps.append(told["sampling"] / args.steps)
            else:
                longer_seconds, longer_log = run(make_command(args, 2 * args.steps), echo=False)
                steps.append((read_log(longer_log, longer_seconds)["whole"] - told["whole"]) / args.steps)
            if told.get("decode"):
                decode.append(told["decode"])
        except (OSError, RuntimeError) as e:
            errors.append(e)
            break
    error = errors[0] if errors and not whole else None
    report.row("pipeline", f"{size}: whole, {args.steps} steps", samples=whole, error=error, **common)
    if steps:
        report.row("pipeline", f"{size}: a step", samples=[max(s, 1e-9) for s in steps], **common)
    if decode:
        report.row("pipeline", f"{size}: decode and write", samples=decode, **common)
    report.write(args.json)
    return 1 if error else 0
