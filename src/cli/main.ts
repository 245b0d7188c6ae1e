#!/usr/bin/env node
/** The command line: one file per verb. Most are HTTP clients of a running gateway; what needs none says so. */
import { Command } from 'commander';
import { readGatewayConfig } from '../schema/config.js';
import { toLlamaestroError } from '../base/errors.js';
import { defaultUrl } from './client.js';
import { exitCodeOf } from './exit-codes.js';
import { addPlan } from './plan.js';
import { addProfiles } from './profiles.js';
import { addSchema } from './schema.js';
import { addStatus } from './status.js';
import { addSwitch } from './switch.js';
import { addValidate } from './validate.js';

try {
  const program = new Command('llamaestro')
    .description('Runs a whole set of local language models as one orchestra')
    .option('--url <url>', 'where the gateway listens', defaultUrl(readGatewayConfig()))
    .showHelpAfterError();
  addStatus(program);
  addSwitch(program);
  addProfiles(program);
  addPlan(program);
  addValidate(program);
  addSchema(program);
  await program.parseAsync();
} catch (thrown) {
  const error = toLlamaestroError(thrown);
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = exitCodeOf(error.code);
}
