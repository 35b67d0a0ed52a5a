import { randomBytes } from "node:crypto";

/** A new id that sorts by time, of small letters, digits and hyphens, since it becomes part of names and URLs. */
export function newRunId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  return `${time}-${randomBytes(2).toString("hex")}`;
}
