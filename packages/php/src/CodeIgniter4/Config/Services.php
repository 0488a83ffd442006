<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4\Config;

use CodeIgniter\Config\BaseService;
use Sso\CodeIgniter4\CodeIgniterSession;

/** The service `sso`: service('sso') is the SsoClient. */
class Services extends BaseService
{
    public static function sso(bool $getShared = true): \SsoClient
    {
        if ($getShared) {
            return static::getSharedInstance('sso');
        }
        return new \SsoClient(config('Sso')->client(), new CodeIgniterSession());
    }
}
