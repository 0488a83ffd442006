<?php

/** Load the classes of this package where Composer is not used. */

declare(strict_types=1);

require_once __DIR__ . '/../SsoClient.php';

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'Sso\\', 4) === 0 && is_file($file = __DIR__ . '/' . strtr(substr($class, 4), '\\', '/') . '.php')) {
        require $file;
    }
});
