#!/usr/bin/env node
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runOnNode24 } from "./node24.mjs";

// A clone runs its TypeScript; a package has JavaScript, as Node.js strips no types inside node_modules.
const [source, built] = ["main.ts", "../dist/cli/main.js"].map((file) => fileURLToPath(new URL(file, import.meta.url)));

await runOnNode24(existsSync(source) ? source : built, process.argv.slice(2));
