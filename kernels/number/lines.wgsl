// Four numbers of a row of A, or of B stored transposed, in the form that four columns of B have: the same,
// where a number is one element.
fn line_of(numbers: A4) -> B4 {
    return numbers;
}
