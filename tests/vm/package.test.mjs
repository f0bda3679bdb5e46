// From package to running host, on Debian 13.

import { operatorsDay } from './packages.mjs';

operatorsDay('trixie');
