<?php

namespace Config;

class Sso extends \Sso\CodeIgniter4\Config\Sso
{
    public string $path = 'callback';
}
