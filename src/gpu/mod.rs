//! Devices: adapters, contexts, kernels, buffers, timing, fingerprint. Never names a workload.
