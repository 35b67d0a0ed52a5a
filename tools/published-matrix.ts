/** The matrix that the docs publish. */

import { readFileSync } from "node:fs";
import path from "node:path";
import { matrixFile, type Matrix } from "../harness/model/matrix.ts";
import { PROJECT } from "../cli/context.ts";

export const PUBLISHED = path.join(PROJECT, "docs/matrix.json");

export function publishedMatrix(): Matrix {
  const matrix = JSON.parse(readFileSync(PUBLISHED, "utf8")) as Matrix;
  matrixFile.parse(matrix); // its own result has another order of keys
  return matrix;
}
