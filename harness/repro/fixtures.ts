/** Tickets for unit tests. */

import { readFileSync } from "node:fs";
import path from "node:path";
import { readRequest } from "./curl-line.ts";
import { readObjects } from "./read-objects.ts";
import { imageIn } from "./stand-in.ts";
import type { Ticket, Translation } from "./ticket.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const IMAGE = imageIn(readFileSync(path.join(ROOT, "scenarios/workloads/nginx-proxy/nginx-proxy.yaml"), "utf8"));

export function ticket(yaml: string, more: Partial<Ticket> = {}): Ticket {
  return {
    name: "t",
    objects: readObjects(yaml, "t.yaml"),
    request: readRequest("GET /orders", []),
    tokens: [],
    now: 1_800_000_000,
    image: IMAGE,
    ...more,
  };
}

/** The differences that decide, or may, before any request is sent. */
export function deciding(made: Translation): string[] {
  return made.differences.flatMap(({ kind, decides }) => (decides === "no" ? [] : [`${kind} ${decides}`]));
}
