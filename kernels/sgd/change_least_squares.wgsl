// By how much the residual of least squares differs between centre and model, in units of the grid's
// step: it is linear, so that is the product of row and offset.
fn residual_of(product: f32, scale: f32, at_centre: f32) -> f32 {
    return product;
}
