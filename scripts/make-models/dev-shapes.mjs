export const devShapes = [];
