export function sparseModel() {}
