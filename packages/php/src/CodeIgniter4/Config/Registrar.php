<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4\Config;

use Sso\CodeIgniter4\SsoFilter;

/** Adds the filter `sso` to those of the program. */
class Registrar
{
    /** @return array<string, array<string, class-string>> */
    public static function Filters(): array
    {
        return ['aliases' => ['sso' => SsoFilter::class]];
    }
}
