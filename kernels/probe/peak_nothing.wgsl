// Does nothing: what is left is the dispatch. The condition, which never holds, is what a compiler
// cannot know, and the binding is written like any kernel's, so that dispatches wait for each other.
// flag: one word, 0.

@group(0) @binding(0) var<storage, read_write> flag: array<u32>;

@compute @workgroup_size(1)
fn nothing() {
    if (flag[0] != 0u) {
        flag[0] += 1u;
    }
}
