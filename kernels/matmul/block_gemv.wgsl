// C = A·B for operands that share scales in blocks of 32 along k, where B is one column (N = 1) or A one
// row (M = 1). The sums of blocks do not depend on each other: the TEAM lanes of a team each take a block
// of the same entries of C, OWN of them. Then each block's sum joins its entry in order, through
// workgroup memory, so C equals `naive` bit for bit whatever TEAM is, and k need not be cut into slices.
// Of N = 1, neighbouring lanes of a team read neighbouring blocks of one row of A, 16 bytes at a time. Of
// int4 these are a block; of 8 bits a block is 32 bytes, so a load of the lanes skips every other 16, which
// the next one takes. Of M = 1, neighbouring lanes are of neighbouring teams and read neighbouring fours, 16
// bytes, of one row of B. A lane walks several rows of the matrix side by side, and in each of them forward.
// Parameters: THREADS, VECTORS, TEAM (divides THREADS; a team of 1 leaves its workgroup memory unused).
// a: M x LDA/WORD words, WORD consecutive k each; b: LDA/WORD x LDB words, likewise; c: M x LDC f32; each
// BATCH times.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;

const GROUPS: u32 = THREADS / TEAM; // teams
const OWN: u32 = 4u * VECTORS; // entries of C, a team
const ENTRIES: u32 = GROUPS * OWN; // a workgroup
const SHARE: u32 = (OWN + TEAM - 1u) / TEAM; // entries that a lane joins
const PITCH: u32 = ENTRIES + 1u; // so that lanes of a team write to different banks

// Sums of blocks times the scales of A, of two rounds in turn, so that one barrier parts them.
const PARTS: u32 = select(2u * TEAM * PITCH, 1u, TEAM == 1u);
var<workgroup> parts: array<f32, PARTS>;

// The four of columns that entry r of a team lies in, or the last one that there is.
fn four_of(first: u32, team: u32, r: u32) -> u32 {
    return min(first / 4u + (r / 4u) * GROUPS + team, (N - 1u) / 4u);
}

// N = 1: a block of OWN rows of A, GROUPS apart, times that of the vector.
fn of_rows(p: u32, first: u32, team: u32, block: u32) -> array<f32, OWN> {
    let above = (p * (LDA / BLOCK) + block) * WORDS;
    var x: array<Decoded, WORDS>;
    for (var w = 0u; w < WORDS; w++) {
        x[w] = decoded(b[(above + w) * (LDB / 4u)].x);
    }
    var values: array<f32, OWN>;
    for (var r = 0u; r < OWN; r++) {
        let row = p * M + min(first + r * GROUPS + team, M - 1u); // at the edge the last one again
        let at = row * (LDA / WORD / 4u) + block * (WORDS / 4u);
        var partial = Partial();
        for (var w = 0u; w < WORDS; w += 4u) {
            let four = a[at + w / 4u];
            for (var s = 0u; s < 4u; s++) {
                partial = dot_add(partial, decoded(four[s]), x[w + s]);
            }
        }
        values[r] = partial_value(partial) * step_a(row, block);
    }
    return values;
}

// M = 1: a block of the vector times that of OWN columns of B, in fours GROUPS apart.
fn of_columns(p: u32, first: u32, team: u32, block: u32) -> array<f32, OWN> {
    let above = (p * (LDA / BLOCK) + block) * WORDS;
    var x: array<Decoded, WORDS>;
    for (var w = 0u; w < WORDS; w += 4u) {
        let words = a[p * (LDA / WORD / 4u) + (block * WORDS + w) / 4u];
        for (var s = 0u; s < 4u; s++) {
            x[w + s] = decoded(words[s]);
        }
    }
    let step = step_a(p, block);
    var values: array<f32, OWN>;
    for (var v = 0u; v < VECTORS; v++) {
        let at = above * (LDB / 4u) + four_of(first, team, 4u * v);
        var partials: array<Partial, 4>;
        for (var w = 0u; w < WORDS; w++) {
            let four = b[at + w * (LDB / 4u)];
            for (var c = 0u; c < 4u; c++) {
                partials[c] = dot_add(partials[c], x[w], decoded(four[c]));
            }
        }
        for (var c = 0u; c < 4u; c++) {
            values[4u * v + c] = partial_value(partials[c]) * step;
        }
    }
    return values;
}

@compute @workgroup_size(THREADS)
fn multiply(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let p = id.z;
    let first = id.x * ENTRIES;
    let blocks = (K + BLOCK - 1u) / BLOCK;
    let above = p * (LDA / BLOCK); // blocks of B
    // The block of a round and the team that the lane sums for, and the first entry that it joins, and
    // of which team: its own ones if it is alone.
    let turn = select(lane / GROUPS, lane % TEAM, N == 1u);
    let team = select(lane % GROUPS, lane / TEAM, N == 1u);
    let r0 = select(lane / GROUPS, 0u, TEAM == 1u);
    let joined_team = lane % GROUPS;
    var sums: array<f32, SHARE>;
    for (var block = 0u; block < blocks; block += TEAM) {
        var values: array<f32, OWN>;
        if (TEAM == 1u || block + turn < blocks) {
            if (N == 1u) {
                values = of_rows(p, first, team, block + turn);
            } else {
                values = of_columns(p, first, team, block + turn);
            }
        }
        let held = (block / TEAM % 2u) * TEAM * PITCH;
        if (TEAM > 1u) {
            for (var r = 0u; r < OWN; r++) {
                parts[held + turn * PITCH + r * GROUPS + team] = values[r];
            }
            workgroupBarrier();
        }
        let count = select(min(TEAM, blocks - block), 1u, TEAM == 1u);
        for (var s = 0u; s < SHARE; s++) {
            let r = r0 + s * TEAM;
            if (r < OWN) {
                for (var t = 0u; t < count; t++) {
                    var value = values[s];
                    if (TEAM > 1u) {
                        value = parts[held + t * PITCH + r * GROUPS + joined_team];
                    }
                    let steps = steps_b(above + block + t, four_of(first, joined_team, r));
                    sums[s] = joined(sums[s], value, steps[select(r % 4u, 0u, N == 1u)]);
                }
            }
        }
    }
    for (var s = 0u; s < SHARE; s++) {
        let r = r0 + s * TEAM;
        let i = first + r * GROUPS + joined_team;
        let j = first + 4u * ((r / 4u) * GROUPS + joined_team) + r % 4u;
        if (r < OWN && N == 1u && i < M) {
            store(p * M + i, 0u, vec2<f32>(sums[s], 0.0));
        }
        if (r < OWN && N > 1u && j < N) {
            store(p, j, vec2<f32>(sums[s], 0.0));
        }
    }
}
