// From package to running host, on Debian 12.

import { operatorsDay } from './packages.mjs';

operatorsDay('bookworm');
