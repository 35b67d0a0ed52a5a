/** The process of a command. */

import { main } from "./program.ts";
import { guardStreams, leave } from "./streams.ts";

guardStreams();
await leave(await main(process.argv.slice(2)));
