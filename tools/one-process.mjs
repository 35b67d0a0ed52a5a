// Loaded before unit tests, which run in one process: a test that ended it would leave out all others, and Node's runner would pass.

process.exit = (code) => {
  throw new Error(`a unit test must not end the process (with ${code})`);
};
