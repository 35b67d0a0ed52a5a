import { alignColumns } from "../reports/text.ts";

/** A table with two spaces between columns. */
export function table(rows: readonly (readonly string[])[]): string {
  return alignColumns(rows).join("\n");
}
