<?php
define('ABSPATH', getenv('DATA') . '/'); // Debian's files are links there, beside a configuration of our own
