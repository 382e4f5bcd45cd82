// The order in which workgroups cover C: bands of SWIZZLE workgroups high are walked column by column,
// so that workgroups that run together share columns of B and rows of A in the caches.
// Parameter: SWIZZLE.
// Method: Tillet, Kung, Cox, "Triton", MAPL 2019 (its tutorial's grouped ordering).
fn swizzled(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
    let index = group.y * groups.x + group.x;
    let band = SWIZZLE * groups.x;
    let top = (index / band) * SWIZZLE;
    let height = min(SWIZZLE, groups.y - top);
    let within = index % band;
    return vec2<u32>(within / height, top + within % height);
}
