<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4\Config;

use CodeIgniter\Config\BaseConfig;
use Sso\Environment;
use Sso\LocalUsers;

/** Settings. A class Config\Sso in app/Config/Sso.php that extends this one changes them. */
class Sso extends BaseConfig
{
    /** The path of the redirect URI, which is the back-channel logout URI too. */
    public string $path = 'sso';

    /** @var class-string<LocalUsers>|null a class of the program that finds its users; null: every user may come in */
    public ?string $users = null;

    /** @return array<string, mixed> the options of SsoClient */
    public function client(): array
    {
        return Environment::options() + ['data_dir' => WRITEPATH . 'sso'];
    }
}
