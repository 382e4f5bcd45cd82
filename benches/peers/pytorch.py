"""PyTorch as a peer of tradeoff: multiplies the operands of a job on the CPU or on a GPU.

Started by the program `peers` with the folder of a job as its argument; src/job.rs says what is in
it, src/remote.rs what is said over the pipes. Needs torch alone, not NumPy.

Every setting computes what its name says: fp32 without TF32, fp16 and bf16 with f32 partial sums.
The timed part is the product alone, its operands on the device and in their storage format. On a
GPU it is timed by the device's own events, as tradeoff times its kernels.
"""

import json
import pathlib
import sys
import time


def say(answer):
    print("@" + " ".join(str(answer).split()), flush=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    try:
        import torch
    except ImportError as error:
        say(f"absent no PyTorch for {pathlib.Path(sys.executable).name}: {error}; pip install torch")
        return
    try:
        device = find_device(torch, job)
        if isinstance(device, str):
            say(f"absent {device}")
            return
        serve(torch, job, folder, device)
    except Exception as error:  # whatever it is, it is the row's reason
        say(f"failed {type(error).__name__}: {error}")


def find_device(torch, job):
    """The torch device that is the job's, or why there is none."""
    if job["backend"] == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no GPU"
    if not job["pci_bus_id"]:
        return "the driver does not say where the adapter sits, so PyTorch's GPU may be another"
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        place = "%04x:%02x:%02x" % (found.pci_domain_id, found.pci_bus_id, found.pci_device_id)
        if job["pci_bus_id"].lower().rsplit(".", 1)[0].endswith(place):
            return torch.device("cuda", index)
    return f"PyTorch {torch.__version__} has no GPU at {job['pci_bus_id']}"


def name(torch, device):
    """Version, and the libraries or the CUDA behind it."""
    version = f"PyTorch {torch.__version__}"
    if device.type == "cpu":
        return f"{version} (CPU, {torch.backends.cpu.get_cpu_capability()})"
    runtime = torch.version.hip or torch.version.cuda
    return f"{version} ({'ROCm' if torch.version.hip else 'CUDA'} {runtime})"


def load(torch, path, dtype, rows, columns, device):
    numbers = torch.frombuffer(bytearray(path.read_bytes()), dtype=dtype)
    return numbers.reshape(rows, columns).to(device)


def serve(torch, job, folder, device):
    setting = job["setting"]
    dtypes = {
        "fp32": torch.float32,
        "tf32": torch.float32,
        "fp16": torch.float16,
        "bf16": torch.bfloat16,
        "int8": torch.int8,
    }
    if setting not in dtypes:
        raise ValueError(f"no product at {setting}")
    torch.backends.cuda.matmul.allow_tf32 = setting == "tf32"
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dtype = dtypes[setting]
    a = load(torch, folder / "a.bin", dtype, job["m"], job["k"], device)
    b = load(torch, folder / "b.bin", dtype, job["k"], job["n"], device)
    if setting == "int8":
        if on_gpu:
            b = b.t().contiguous().t()  # column-major, the layout of cuBLAS's integer kernels
        multiply = lambda: torch._int_mm(a, b)
        output = "int32"
    else:
        multiply = lambda: torch.mm(a, b)
        output = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]
    with torch.inference_mode():
        c = multiply()  # libraries choose and load their kernels here
        if on_gpu:
            torch.cuda.synchronize(device)
        say(f"ready {output} {'timestamp' if on_gpu else 'host'} {name(torch, device)}")
        for line in sys.stdin:
            request = line.split()
            if request[0] == "run":
                time_ns = time_gpu if on_gpu else time_cpu
                c, elapsed_ns = time_ns(torch, multiply, int(request[1]))
                say(f"ns {elapsed_ns}")
            elif request[0] == "result":
                write(torch, folder / "c.bin", c, job["step"])
                say("done")
            else:
                raise ValueError(f"{line.strip()} is no request")


def time_cpu(torch, multiply, iterations):
    started = time.perf_counter_ns()
    for _ in range(iterations):
        c = multiply()
    return c, time.perf_counter_ns() - started


def time_gpu(torch, multiply, iterations):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(iterations):
        c = multiply()
    end.record()
    end.synchronize()
    return c, begin.elapsed_time(end) * 1e6


def write(torch, path, c, step):
    """C in f32. Integer sums are scaled here, in f64 and so with one rounding."""
    if c.dtype == torch.int32:
        c = c.double() * step
    c = c.float().cpu().contiguous()
    path.write_bytes(bytes(c.untyped_storage()))


if __name__ == "__main__":
    main()
